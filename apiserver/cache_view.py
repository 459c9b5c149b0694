"""The watch cache as the components in the process see it: parsed objects, nothing of its own kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apiserver.cache_bucket import CacheEvent
from apiserver.watchcache import WatchCache
from machinery.api.resource import Object, Resource
from machinery.client.cache import Change


class CacheView:
    """Implements `machinery.client.cache.Cache`."""

    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache
        self._told: tuple[CacheEvent, Change] | None = None

    @property
    def revision(self) -> int:
        return self._cache.revision

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        entry = self._cache.get(resource, namespace, name)
        return entry.object if entry is not None else None

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        return [entry.object for entry in self._cache.list(resource, namespace)]

    def owned_by(self, resource: Resource, uid: str) -> Sequence[Object]:
        return [entry.object for entry in self._cache.owned_by(resource, uid)]

    def orphans(self, resource: Resource, namespace: str) -> Sequence[Object]:
        return [entry.object for entry in self._cache.orphans(resource, namespace)]

    def on_node(self, node: str) -> Sequence[Object]:
        return [entry.object for entry in self._cache.on_node(node)]

    def labelled(self, resource: Resource, namespace: str, key: str, value: str) -> Sequence[Object]:
        found = self._cache.labelled(resource, key, value)
        return [entry.object for entry in found if entry.namespace == namespace]

    def subscribe(self, resource: Resource, handler: Callable[[Change], None]) -> Callable[[], None]:
        def tell(event: CacheEvent) -> None:
            handler(self._change(resource, event))

        return self._cache.subscribe(resource, tell)

    def _change(self, resource: Resource, event: CacheEvent) -> Change:
        """The event as components know it: one value for all that are told of it, one after the other."""
        if self._told is not None and self._told[0] is event and self._told[1].resource is resource:
            return self._told[1]
        before = event.previous.object if event.previous is not None else None
        change = Change(resource, before, event.entry.object if event.type != "DELETED" else None)
        self._told = (event, change)
        return change

    async def wait_for(self, revision: int) -> None:
        await self._cache.wait_for(revision)
