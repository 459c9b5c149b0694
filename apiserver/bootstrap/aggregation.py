"""ClusterRoles that are the sum of others: `view`, `edit`, `admin` grow as roles with their labels come.

The decision is pure; the loop carries it out at each change of a ClusterRole until nothing changes any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

from machinery.api.errors import Conflict, NotFound
from machinery.api.resource import Object
from machinery.api.resources import CLUSTER_ROLES
from machinery.api.selectors import stored_selector
from machinery.client.cache import Cache
from machinery.client.client import Client, PatchType
from machinery.contain import contain

MANAGER = "clusterrole-aggregation-controller"


def aggregated(role: Object, roles: Iterable[Object]) -> list[Object]:
    """The rules that the role's selectors sum up, in order of the roles' names, none of them twice."""
    name = role["metadata"]["name"]
    others = sorted((other for other in roles if other["metadata"]["name"] != name), key=_name)
    found: list[Object] = []
    for wire in role["aggregationRule"].get("clusterRoleSelectors") or ():
        selector = stored_selector(wire)
        for other in others:
            if selector.matches(other["metadata"].get("labels") or {}):
                found += [rule for rule in other.get("rules") or () if rule not in found]
    return found


def changed_roles(roles: Sequence[Object]) -> list[Object]:
    """The aggregated roles whose rules are no longer the sum, with the rules that they shall have."""
    changed = []
    for role in roles:
        if role.get("aggregationRule"):
            rules = aggregated(role, roles)
            if rules != (role.get("rules") or []):
                changed.append({**role, "rules": rules})
    return changed


def fill_in(roles: Sequence[Object]) -> list[Object]:
    """The roles with all sums made, sums of sums too."""
    by_name = {_name(role): role for role in roles}
    # Each round settles one level; a chain can't be longer than there are roles.
    for _ in by_name:
        changed = changed_roles(list(by_name.values()))
        if not changed:
            break
        by_name |= {_name(role): role for role in changed}
    return list(by_name.values())


class Aggregation:
    """Keeps the sums current from its construction on, while `run` runs."""

    def __init__(self, client: Client, cache: Cache) -> None:
        self._client = client
        self._cache = cache
        self._woken = asyncio.Event()

    async def run(self) -> None:
        end = self._cache.subscribe(CLUSTER_ROLES, lambda change: self._woken.set())
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                for role in changed_roles(self._cache.list(CLUSTER_ROLES)):
                    await self._write(role)
        finally:
            end()

    async def _write(self, role: Object) -> None:
        # Whoever changed or deleted the role meanwhile has woken the loop again.
        wanted = {
            "apiVersion": CLUSTER_ROLES.api_version,
            "kind": CLUSTER_ROLES.kind,
            # By its uid a role that was deleted meanwhile is not made again.
            "metadata": {"name": _name(role), "uid": role["metadata"]["uid"]},
            "rules": role["rules"],
        }
        with contain("aggregation", about=_name(role)), suppress(Conflict, NotFound):
            await self._client.patch(
                CLUSTER_ROLES, _name(role), wanted, patch_type=PatchType.APPLY, field_manager=MANAGER, force=True
            )


def _name(role: Object) -> str:
    return str(role["metadata"]["name"])
