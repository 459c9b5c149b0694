"""ServiceAccounts: they hold names of Secrets, nothing else of them."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from machinery.api.resource import Object

_ENFORCED = "kubernetes.io/enforce-mountable-secrets"


def _clean(account: Object) -> None:
    if account.get("secrets"):
        account["secrets"] = [{"name": each["name"]} if each.get("name") else {} for each in account["secrets"]]


def _warnings(account: Object) -> list[str]:
    if not (account["metadata"].get("annotations") or {}).get(_ENFORCED):
        return []
    return [
        f"metadata.annotations[{_ENFORCED}]: deprecated in v1.32+; prefer separate namespaces to isolate access to"
        " mounted secrets"
    ]


def _update_warnings(new: Object, old: Object) -> list[str]:
    return [] if _warnings(old) else _warnings(new)


RULES = Rules(
    prepare_create=_clean,
    prepare_update=lambda new, old: _clean(new),
    warnings=_warnings,
    update_warnings=_update_warnings,
)
