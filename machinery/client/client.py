"""The API as components see it; `apiserver.local` and `machinery.client.http` implement it alike.

Both raise the types of `machinery.api.errors`. Objects that come back are shared: copy what you change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Literal, Protocol

from machinery.api.resource import Object, Resource
from machinery.structs import Struct

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


class PatchType(StrEnum):
    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class WatchEvent(Struct, frozen=True):
    """A change as the watcher's selectors see it; a BOOKMARK's object carries a resourceVersion alone."""

    type: EventType
    object: Object


class ObjectList(Struct, frozen=True):
    """`resource_version` is where a watch that misses nothing starts."""

    items: Sequence[Object]
    resource_version: str
    continue_token: str = ""


class Client(Protocol):
    """`subresource` names `status`, `scale`, `binding`, …; `obj` carries its name and namespace in metadata."""

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object: ...

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> ObjectList: ...

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent]]:
        """Events after `resource_version` until the server ends the stream; raises Expired if they are gone."""

    async def create(
        self, resource: Resource, obj: Object, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> Object:
        """The stored object; `name` is the parent's where a sub-resource (binding, eviction, token) is created."""

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replaces the object; raises Conflict where `metadata.resourceVersion` is set and no longer current."""

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
    ) -> Object: ...

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
    ) -> Object: ...
