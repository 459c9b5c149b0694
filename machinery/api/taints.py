"""Whether tolerations bear a taint (core/v1 Toleration): the scheduler, DaemonSets and evictions ask alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from machinery.api.resource import Object


def tolerates(tolerations: Iterable[Object], taint: Object) -> bool:
    return any(_tolerated(toleration, taint) for toleration in tolerations)


def untolerated(taints: Iterable[Object], tolerations: Collection[Object], effects: Collection[str]) -> Object | None:
    """The first taint of one of the effects that no toleration bears."""
    concerning = (taint for taint in taints if taint["effect"] in effects)
    return next((taint for taint in concerning if not tolerates(tolerations, taint)), None)


def _tolerated(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool((toleration.get("value") or "") == (taint.get("value") or ""))
