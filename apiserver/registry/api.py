"""The API behind HTTP and behind the client in the process: who may is asked here, then the registry does it."""

from __future__ import annotations

from typing import Any

from apiserver.authz.escalation import check_escalation
from apiserver.authz.rbac import Rbac, forbidden
from apiserver.cache_entry import Entry
from apiserver.registry import deletion, managed, strategy
from apiserver.registry.call import Call, DeleteOptions
from apiserver.registry.lists import ListOptions, Page, page, reach, revision_of
from apiserver.registry.metadata import check_name
from apiserver.registry.patches import patched
from apiserver.registry.registry import Registry
from apiserver.registry.scale import SCALES
from apiserver.registry.selection import selection
from apiserver.registry.subresources import Subresources
from apiserver.registry.watches import Watching
from apiserver.request import Attributes
from apiserver.reviews import Reviews
from apiserver.watchcache import WatchCache
from machinery.api.errors import NotFound, conflict, method_not_allowed
from machinery.api.resource import Object
from machinery.api.resources import BINDINGS, COMPONENT_STATUSES, JOBS
from machinery.client.client import PatchType
from machinery.structs import Struct, replace


class Deleted(Struct, frozen=True):
    """`object` as it was last; `is_gone` says that nothing is left of it, `is_shown` that the answer is the object."""

    object: Object
    is_gone: bool
    is_shown: bool


class Api:
    """All operations on resources. Every one is authorized by `rbac` first."""

    def __init__(
        self, registry: Registry, subresources: Subresources, reviews: Reviews, cache: WatchCache, rbac: Rbac
    ) -> None:
        self.cache = cache
        self._registry = registry
        self._subresources = subresources
        self._reviews = reviews
        self._rbac = rbac

    def authorize(self, asked: Attributes) -> None:
        """Raises Forbidden where the user may not."""
        decision = self._rbac.authorize(asked)
        if not decision.allowed:
            raise forbidden(asked, decision.reason)

    async def get(self, call: Call, version: str = "") -> Entry | Object:
        """The stored entry, or an object that is made on demand (a sub-resource, another version).

        It is no older than the resourceVersion, if one is given.
        """
        self.authorize(call.attributes())
        resource = call.resource
        if resource == COMPONENT_STATUSES:
            raise NotFound(f'componentstatuses "{call.target.name}" not found', kind="componentstatuses",
                           name=call.target.name)  # fmt: skip
        if not resource.is_stored:
            raise method_not_allowed()
        if wanted := revision_of(version):
            await reach(self.cache, wanted)
        elif version != "0":
            await self.cache.refresh()
        if call.target.subresource:
            return self._subresources.get(call)
        if resource.stored_as is not None:
            return self._registry.current(call)
        return self._registry.entry(call)

    async def list(self, call: Call, labels: str = "", fields: str = "", options: ListOptions | None = None) -> Page:
        self._authorize_collection(call, fields)
        if call.resource == COMPONENT_STATUSES:
            return Page((), self.cache.revision)
        chosen = selection(call.resource, labels, fields)
        return await page(self.cache, chosen, call.target.namespace, options or ListOptions())

    def watch(self, call: Call, labels: str = "", fields: str = "", options: ListOptions | None = None) -> Watching:
        """The watch, yet to be started; errors of the selectors are raised at once."""
        self._authorize_collection(call, fields)
        chosen = selection(call.resource, labels, fields)
        return Watching(self.cache, chosen, call.target.namespace, options or ListOptions())

    def _authorize_collection(self, call: Call, fields: str) -> None:
        """A selector of one name asks for that name alone, as kubelets do for their pods' secrets."""
        asked = call.attributes()
        if fields and not asked.name:
            name = selection(call.resource, "", fields).name
            asked = replace(asked, name=name)
        self.authorize(asked)

    async def create(self, call: Call, obj: Object) -> Object:
        self.authorize(call.attributes())
        resource = call.resource
        if call.target.subresource:
            return await self._subresources.create(call, obj)
        if resource == BINDINGS:
            return await self._subresources.bind(call, obj)
        if not resource.is_stored:
            return await self._review(call, obj)
        check_escalation(call.user, call.target, obj, None, self._rbac)
        return await self._registry.create(call, obj)

    async def _review(self, call: Call, obj: Object) -> Object:
        resource = call.resource
        asked = strategy.received(obj, resource, call.target.namespace)
        managed.track_create(asked, call, self._registry.clock.now())
        return await self._reviews.review(resource, asked, call.user)

    async def update(self, call: Call, obj: Object) -> tuple[Object, bool]:
        """The written object, and whether the update created it."""
        self.authorize(call.attributes())
        if call.target.subresource:
            return await self._subresources.update(call, obj), False
        target = call.target
        if strategy.is_created_by_update(call.resource) and (
            self.cache.get(call.resource, target.namespace, target.name) is None
        ):
            self.authorize(call.on(verb="create").attributes())
        self._check_escalation(call, obj)
        return await self._registry.replace(call, obj)

    async def patch(self, call: Call, patch_type: PatchType, patch: Any, *, force: bool = False) -> tuple[Object, bool]:
        """The written object, and whether an apply created it."""
        self.authorize(call.attributes())
        if patch_type == PatchType.APPLY:
            return await self._apply(call, patch, force=force)
        if call.target.subresource:
            return await self._subresources.patch(call, patch_type, patch), False
        change = patched(call, patch_type, patch, call.resource)

        def checked(current: Object) -> Object:
            wanted = change(current)
            self._check_escalation(call, wanted)
            return wanted

        return await self._registry.update(call, checked, is_fresh=True), False

    async def _apply(self, call: Call, patch: Any, *, force: bool) -> tuple[Object, bool]:
        from apiserver.registry.apply import applied, applied_scale, check_apply, check_repeats

        if call.target.subresource == "scale":
            check_apply(replace(call, target=replace(call.target, resource=SCALES)), patch)
            change = applied_scale(call, patch, self._registry.clock.now(), force=force)
            return await self._subresources.apply(call, change), False
        check_apply(call, patch)
        change = applied(call, patch, self._registry.clock.now(), force=force)
        if call.target.subresource:
            return await self._subresources.apply(call, change), False
        target = call.target
        if self.cache.get(call.resource, target.namespace, target.name) is None:
            self.authorize(call.on(verb="create").attributes())
            metadata = patch.get("metadata") or {}
            if uid := metadata.get("uid"):
                why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                raise conflict(call.resource.plural, target.name, why, call.resource.group)
            check_name(metadata, target.name)
            check_repeats(call)
            check_escalation(call.user, call.target, patch, None, self._rbac)
            return await self._registry.create(call, patch, is_applied=True), True
        self._check_escalation(call, patch)
        return await self._registry.update(call, change, is_tracked=False), False

    def _check_escalation(self, call: Call, obj: Object) -> None:
        target = call.target
        found = self.cache.get(target.resource, target.namespace, target.name)
        check_escalation(call.user, target, obj, found.object if found else None, self._rbac)

    async def delete(self, call: Call, options: DeleteOptions) -> Deleted:
        self.authorize(call.attributes())
        if call.target.subresource:
            raise method_not_allowed()
        if call.resource == JOBS and not options.propagation_policy and options.orphan_dependents is None:
            call.warn(deletion.JOB_WARNING)
        if aside := self._registry.set_aside(call):
            discarding = replace(call, dry_run=call.dry_run or options.dry_run)
            return Deleted(await self._registry.discard(discarding, options, aside), is_gone=True, is_shown=False)
        obj, is_gone = await self._registry.delete(replace(call, dry_run=call.dry_run or options.dry_run), options)
        return Deleted(obj, is_gone, not is_gone or deletion.is_answered_by_object(call.resource))

    async def delete_collection(
        self, call: Call, options: DeleteOptions, labels: str = "", fields: str = "", listed: ListOptions | None = None
    ) -> Page:
        """The objects that the selectors chose, as they were; each is deleted as alone."""
        self._authorize_collection(call, fields)
        chosen = selection(call.resource, labels, fields)
        found = await page(self.cache, chosen, call.target.namespace, listed or ListOptions())
        if call.resource == JOBS and not options.propagation_policy and options.orphan_dependents is None:
            call.warn(deletion.JOB_WARNING)
        for entry in found.entries:
            try:
                one = call.on(name=entry.name, namespace=entry.namespace)
                await self._registry.delete(replace(one, dry_run=call.dry_run or options.dry_run), options)
            except NotFound:
                # Somebody else was faster, which is what was asked for.
                continue
        return found
