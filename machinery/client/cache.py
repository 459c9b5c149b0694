"""What a component knows of the cluster: a view that follows the watch, in order of revisions.

In the process it is a view on the API server's watch cache (`apiserver.local`), elsewhere `reflector.py` fills it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from machinery.api.resource import Object, Resource
from machinery.structs import Struct


class Change(Struct, frozen=True):
    """`before` is None for a new object, `after` is None for a deleted one (`before` is then its last state)."""

    resource: Resource
    before: Object | None
    after: Object | None

    @property
    def object(self) -> Object:
        """The newest state there is."""
        found = self.after if self.after is not None else self.before
        assert found is not None
        return found


class Cache(Protocol):
    """Objects are shared and frozen by convention. All reads are synchronous and consistent at `revision`."""

    @property
    def revision(self) -> int:
        """The newest revision that the cache has seen."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        """All objects, or those of one namespace."""

    def owned_by(self, resource: Resource, uid: str) -> Sequence[Object]:
        """Objects with an ownerReference (controller or not) to `uid`."""

    def orphans(self, resource: Resource, namespace: str) -> Sequence[Object]:
        """Objects of one namespace that no controller owns, found without looking at the others."""

    def on_node(self, node: str) -> Sequence[Object]:
        """Pods whose `spec.nodeName` is `node`; "" gives the pods not yet bound."""

    def labelled(self, resource: Resource, namespace: str, key: str, value: str) -> Sequence[Object]:
        """Objects of one namespace with this label, found without looking at the others."""

    def subscribe(self, resource: Resource, handler: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `handler` in the loop's thread for each object there is now, then for each change; returns the end."""

    async def wait_for(self, revision: int) -> None:
        """Returns when the cache has seen `revision`."""
