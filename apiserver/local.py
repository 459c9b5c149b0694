"""The client of components in the process: the API without HTTP, by the same rules, types and errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from apiserver.cache_entry import Entry
from apiserver.registry.api import Api
from apiserver.registry.call import Call, DeleteOptions
from apiserver.registry.conversion import from_stored
from apiserver.registry.lists import ListOptions
from apiserver.registry.watches import Seen
from apiserver.request import Target, User
from machinery.api.resource import Object, Resource
from machinery.client.client import ObjectList, PatchType, WatchEvent


class LocalClient:
    """Implements `machinery.client.Client` as `user`."""

    def __init__(self, api: Api, user: User, *, field_manager: str = "") -> None:
        self._api = api
        self._user = user
        self._manager = field_manager or user.name.rpartition(":")[2]

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        found = await self._api.get(self._call("get", resource, namespace, name, subresource))
        return found.object if isinstance(found, Entry) else found

    async def list(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> ObjectList:
        found = await self._api.list(self._call("list", resource, namespace), labels, fields)
        return ObjectList([from_stored(entry.object, resource) for entry in found.entries], str(found.revision))

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        options = ListOptions(resource_version=resource_version, allow_bookmarks=True)
        watching = self._api.watch(self._call("watch", resource, namespace), labels, fields, options)
        await watching.start()
        async with aclosing(watching.batches()) as batches, aclosing(_events(batches, resource)) as events:
            yield events

    async def create(
        self, resource: Resource, obj: Object, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> Object:
        namespace = namespace or (obj.get("metadata") or {}).get("namespace") or ""
        return await self._api.create(self._call("create", resource, namespace, name, subresource), obj)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        metadata = obj["metadata"]
        call = self._call("update", resource, metadata.get("namespace") or "", metadata["name"], subresource)
        return (await self._api.update(call, obj))[0]

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        call = self._call("patch", resource, namespace, name, subresource, field_manager)
        return (await self._api.patch(call, patch_type, patch, force=force))[0]

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
    ) -> Object:
        options = DeleteOptions(uid, resource_version, grace_period_seconds, propagation_policy)
        return (await self._api.delete(self._call("delete", resource, namespace, name), options)).object

    def _call(
        self,
        verb: str,
        resource: Resource,
        namespace: str,
        name: str = "",
        subresource: str = "",
        field_manager: str = "",
    ) -> Call:
        target = Target(resource, namespace if resource.namespaced else "", name, subresource)
        return Call(self._user, verb, target, field_manager=field_manager or self._manager)


async def _events(batches: AsyncIterator[Sequence[Seen]], resource: Resource) -> AsyncGenerator[WatchEvent, None]:
    async for batch in batches:
        for seen in batch:
            yield _event(seen, resource)


def _event(seen: Seen, resource: Resource) -> WatchEvent:
    if seen.entry is None:
        bookmark = {"kind": resource.kind, "apiVersion": resource.api_version,
                    "metadata": {"resourceVersion": str(seen.revision)}}  # fmt: skip
        return WatchEvent("BOOKMARK", bookmark)
    return WatchEvent(seen.type, from_stored(seen.entry.object, resource))
