"""Fills a cache from list and watch, where the API server is not in the process.

Each resource has its own stream, so the cache is consistent within a resource and behind by a moment between two. A
stream that ends is taken up where it was; one whose revisions are gone is listed again, and the difference told.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from machinery.api.errors import Expired, StatusError
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS
from machinery.client.cache import Change
from machinery.client.client import Client, WatchEvent
from machinery.client.clock import Clock
from machinery.contain import contain

LOG = logging.getLogger("reflector")
REMEMBERED = 4096
FIRST_DELAY, LONGEST_DELAY = 0.1, 30.0

Name = tuple[str, str]
Handler = Callable[[Change], None]


class ReflectedCache:
    """Implements `machinery.client.cache.Cache` for `resources`, each with the field selector that narrows it.

    `run` belongs into a TaskGroup; `synced` is set once all resources were listed.
    """

    def __init__(self, client: Client, resources: Mapping[Resource, str], clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._mirrors = {resource: _Mirror(resource, fields) for resource, fields in resources.items()}
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._moved = asyncio.Event()
        self.synced = asyncio.Event()

    @property
    def revision(self) -> int:
        return max((mirror.revision for mirror in self._mirrors.values()), default=0)

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._mirrors[resource].objects.get((namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        mirror = self._mirrors[resource]
        if not namespace:
            return tuple(mirror.objects.values())
        return mirror.select(mirror.by_namespace.get(namespace, {}))

    def owned_by(self, resource: Resource, uid: str) -> Sequence[Object]:
        mirror = self._mirrors[resource]
        return mirror.select(mirror.by_owner.get(uid, {}))

    def orphans(self, resource: Resource, namespace: str) -> Sequence[Object]:
        mirror = self._mirrors[resource]
        return mirror.select(mirror.orphans.get(namespace, {}))

    def on_node(self, node: str) -> Sequence[Object]:
        mirror = self._mirrors[PODS]
        return mirror.select(mirror.by_node.get(node, {}))

    def labelled(self, resource: Resource, namespace: str, key: str, value: str) -> Sequence[Object]:
        found = self.list(resource, namespace)
        return [obj for obj in found if (obj["metadata"].get("labels") or {}).get(key) == value]

    def subscribe(self, resource: Resource, handler: Handler) -> Callable[[], None]:
        mirror = self._mirrors[resource]
        mirror.handlers.append(handler)
        for obj in list(mirror.objects.values()):
            handler(Change(resource, None, obj))
        return lambda: mirror.handlers.remove(handler)

    async def wait_for(self, revision: int) -> None:
        """Returns when the change that made `revision` was seen, or every stream is past it."""
        while not self._has(revision):
            self._moved.clear()
            await self._moved.wait()

    def _has(self, revision: int) -> bool:
        return revision in self._seen or all(mirror.revision >= revision for mirror in self._mirrors.values())

    async def run(self) -> None:
        """Follows all resources until cancelled."""
        async with asyncio.TaskGroup() as group:
            for mirror in self._mirrors.values():
                group.create_task(self._follow(mirror))

    async def _follow(self, mirror: _Mirror) -> None:
        delay = 0.0
        while True:
            before = mirror.revision
            with contain("watch stream", about=mirror.resource.qualified):
                await self._stream(mirror)
            # A stream that brought something ended in the ordinary way; another backs off.
            delay = 0.0 if mirror.revision > before else min(max(delay * 2, FIRST_DELAY), LONGEST_DELAY)
            if delay:
                await self._clock.sleep(delay)

    async def _stream(self, mirror: _Mirror) -> None:
        try:
            if not mirror.is_listed:
                await self._relist(mirror)
            async with self._client.watch(
                mirror.resource, resource_version=str(mirror.revision), fields=mirror.fields
            ) as events:
                async for event in events:
                    self._see(mirror, event)
        except Expired:
            mirror.is_listed = False
        except StatusError as error:
            LOG.info("watching %s: %s", mirror.resource.qualified, error.message)

    async def _relist(self, mirror: _Mirror) -> None:
        found = await self._client.list(mirror.resource, fields=mirror.fields)
        mirror.replace(found.items)
        mirror.is_listed = True
        self._advance(mirror, int(found.resource_version))
        if all(each.is_listed for each in self._mirrors.values()):
            self.synced.set()

    def _see(self, mirror: _Mirror, event: WatchEvent) -> None:
        if event.type == "DELETED":
            mirror.remove(event.object)
        elif event.type != "BOOKMARK":
            mirror.put(event.object)
        self._advance(mirror, _revision(event.object))

    def _advance(self, mirror: _Mirror, revision: int) -> None:
        mirror.revision = max(mirror.revision, revision)
        self._seen[revision] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        self._moved.set()


class _Mirror:
    """The objects of one resource with their indexes, and whom a change is told to."""

    def __init__(self, resource: Resource, fields: str) -> None:
        self.resource = resource
        self.fields = fields
        self.revision = 0
        self.is_listed = False
        self.objects: dict[Name, Object] = {}
        self.handlers: list[Handler] = []
        # Dictionaries as ordered sets: readers get objects in the order in which they came.
        self.by_namespace: defaultdict[str, dict[Name, None]] = defaultdict(dict)
        self.by_owner: defaultdict[str, dict[Name, None]] = defaultdict(dict)
        self.orphans: defaultdict[str, dict[Name, None]] = defaultdict(dict)
        self.by_node: defaultdict[str, dict[Name, None]] = defaultdict(dict)

    def select(self, names: Iterable[Name]) -> Sequence[Object]:
        return tuple(self.objects[name] for name in names)

    def put(self, obj: Object) -> None:
        name = _name(obj)
        before = self.objects.get(name)
        if before is not None:
            if _revision(before) >= _revision(obj):
                return
            self._unindex(name, before)
        self.objects[name] = obj
        for index, value in self._places(obj):
            index[value][name] = None
        self._tell(before, obj)

    def remove(self, obj: Object) -> None:
        name = _name(obj)
        before = self.objects.pop(name, None)
        if before is not None:
            self._unindex(name, before)
            # The last state is the event's: it carries the revision of the deletion.
            self._tell(obj, None)

    def replace(self, found: Sequence[Object]) -> None:
        """Tells the difference to what was known, deletions first, so that a namesake is a new object."""
        alive = {_name(obj): obj["metadata"]["uid"] for obj in found}
        for name, obj in list(self.objects.items()):
            if alive.get(name) != obj["metadata"]["uid"]:
                self.remove(obj)
        for obj in found:
            self.put(obj)

    def _tell(self, before: Object | None, after: Object | None) -> None:
        for handler in list(self.handlers):
            with contain("cache subscriber", about=self.resource.qualified):
                handler(Change(self.resource, before, after))

    def _unindex(self, name: Name, obj: Object) -> None:
        for index, value in self._places(obj):
            names = index[value]
            names.pop(name, None)
            if not names:
                del index[value]

    def _places(self, obj: Object) -> Iterable[tuple[defaultdict[str, dict[Name, None]], str]]:
        metadata = obj["metadata"]
        yield self.by_namespace, metadata.get("namespace", "")
        owners = metadata.get("ownerReferences") or ()
        for uid in {ref["uid"] for ref in owners}:
            yield self.by_owner, uid
        if not any(ref.get("controller") for ref in owners):
            yield self.orphans, metadata.get("namespace", "")
        if self.resource == PODS:
            yield self.by_node, obj["spec"].get("nodeName", "")


def _name(obj: Object) -> Name:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _revision(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])
