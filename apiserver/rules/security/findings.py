"""What the checks of the Pod Security Standards are made of: one finding a check, in upstream's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from machinery.api.resource import Object
from machinery.structs import Struct


class Finding(Struct, frozen=True):
    """Why a pod is not as a level asks; `detail` says who and what."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


Judge = Callable[[Object, Object], Finding | None]
"""Over a pod's metadata and its spec."""


class Check(Struct, frozen=True):
    """`since` are the judges by the minor version that brought each; `replaces` is a milder check it stands for."""

    name: str
    since: tuple[tuple[int, Judge], ...]
    replaces: str = ""

    def at(self, minor: int) -> Judge | None:
        """How it judged in version 1.minor; None before there was such a check."""
        return next((judge for first, judge in reversed(self.since) if first <= minor), None)


def containers(spec: Object) -> list[Object]:
    """All containers, in the order in which they are told of."""
    return [each for part in ("initContainers", "containers", "ephemeralContainers") for each in spec.get(part) or ()]


def security(holder: Object) -> Object:
    """The security context of a pod's spec or of a container."""
    return holder.get("securityContext") or {}


def names(found: Iterable[Object]) -> list[str]:
    """Admission comes before what refuses the nameless."""
    return [name_of(each) for each in found]


def name_of(holder: Object) -> str:
    return holder.get("name") or ""


def plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def quoted(items: Sequence[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def named(noun: str, items: Sequence[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{plural(noun, len(items))} {quoted(items)}"


def setters(found: Sequence[str], *, is_pod: bool) -> str:
    """Who set something, the pod itself or these containers; "" for nobody."""
    return " and ".join([*(["pod"] if is_pod else []), *([named("container", found)] if found else [])])


def uses(verb_subject: str, items: Sequence[str]) -> str:
    """`container "a" uses`, `containers "a", "b" use`."""
    return f"{named(verb_subject, items)} {'uses' if len(items) == 1 else 'use'}"


def has_own_users(spec: Object) -> bool:
    """Whether the pod has a user namespace, so that its root is not the host's."""
    return spec.get("hostUsers") is False


def is_for_windows(spec: Object) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"
