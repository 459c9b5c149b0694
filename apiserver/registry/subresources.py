"""Sub-resources: which part of an object each shows and writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.registry import deletion, pods
from apiserver.registry.approval import approved
from apiserver.registry.call import Call, DeleteOptions
from apiserver.registry.metadata import check_name
from apiserver.registry.patches import patched
from apiserver.registry.registry import Change, Registry
from apiserver.registry.scale import SCALES, scale_of, scaled
from apiserver.request import Target
from apiserver.reviews import Reviews
from apiserver.watchcache import WatchCache
from machinery.api.errors import BadRequest, method_not_allowed
from machinery.api.resource import Object
from machinery.api.resources import POD_DISRUPTION_BUDGETS, PODS
from machinery.client.client import PatchType
from machinery.client.clock import Clock
from machinery.structs import replace

SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

Part = Callable[[Object], Change]
"""What is wanted, reduced to the change of the part that a sub-resource writes."""


class Subresources:
    """Dispatch by the sub-resource's name; what is stored goes through the registry."""

    def __init__(self, registry: Registry, reviews: Reviews, cache: WatchCache, clock: Clock) -> None:
        self._registry = registry
        self._reviews = reviews
        self._cache = cache
        self._clock = clock

    def get(self, call: Call) -> Object:
        current = self._registry.current(call)
        if call.target.subresource == "scale":
            return scale_of(current, call.resource)
        return current

    async def create(self, call: Call, obj: Object) -> Object:
        match call.target.subresource:
            case "binding":
                return await self.bind(call, obj)
            case "eviction":
                return await self._evict(call, obj)
            case "token":
                target = call.target
                return await self._reviews.create_token(target.namespace, target.name, obj, call.user)
        raise method_not_allowed()

    async def update(self, call: Call, obj: Object) -> Object:
        """Replaces the part; `obj` is the whole object but for `scale`."""
        if call.target.subresource == "scale":
            written = await self._registry.update(call, scaled(obj, call.resource))
            return scale_of(written, call.resource)
        check_name(obj.get("metadata") or {}, call.target.name)
        return await self._write(call, lambda current: obj)

    async def patch(self, call: Call, patch_type: PatchType, patch: Any) -> Object:
        if call.target.subresource == "scale":
            return await self._patch_scale(call, patch_type, patch)
        return await self._write(call, patched(call, patch_type, patch, call.resource))

    async def apply(self, call: Call, change: Change) -> Object:
        """Server-side apply to a part of the object; `change` merges the applied one in."""
        if call.target.subresource == "scale":
            return scale_of(await self._registry.update(call, change, is_tracked=False), call.resource)
        return await self._write(call, change, is_tracked=False)

    async def _patch_scale(self, call: Call, patch_type: PatchType, patch: Any) -> Object:
        change = patched(call, patch_type, patch, SCALES)

        def scale(current: Object) -> Object:
            return scaled(change(scale_of(current, call.resource)), call.resource, is_patch=True)(current)

        return scale_of(await self._registry.update(call, scale), call.resource)

    async def _write(self, call: Call, change: Change, *, is_tracked: bool = True) -> Object:
        part = self._part(call.target.subresource)
        if part is None:
            return await self._registry.update(call, change, part="status", is_tracked=is_tracked)
        return await self._registry.update(call, _of_part(change, part), part="all", is_tracked=is_tracked)

    def _part(self, subresource: str) -> Part | None:
        if subresource == "approval":
            now = self._clock.now()
            return lambda wanted: approved(wanted, now)
        return _PARTS.get(subresource)

    async def bind(self, call: Call, binding: Object) -> Object:
        name = (binding.get("metadata") or {}).get("name") or ""
        if call.target.name and name != call.target.name:
            raise BadRequest("name in URL does not match name in Binding object")
        if not name:
            raise BadRequest("Name parameter required.")
        target = Target(PODS, call.target.namespace, name, "binding")
        on_pod = replace(call, target=target)
        change = _unpinned(pods.bound(binding, self._clock.now()))
        # Each pod comes this way: what is stored is not judged and completed once more for two fields.
        await self._registry.update(on_pod, change, part="all", is_tracked=False, is_ours=True)
        return SUCCESS

    async def _evict(self, call: Call, eviction: Object) -> Object:
        body = pods.eviction_options(eviction, call.target.name)
        options = DeleteOptions.of(body)
        pod = self._registry.current(call)
        # Who means another pod of that name must not spend its budget.
        deletion.check_preconditions(pod, options, PODS)
        now, namespace = self._clock.now(), call.target.namespace
        is_dry = options.dry_run or call.dry_run
        budgets = [entry.object for entry in self._cache.list(POD_DISRUPTION_BUDGETS, namespace)]
        needed = pods.budgets_for(pod, budgets)
        if len(needed) > 1:
            return pods.SEVERAL_BUDGETS
        for budget in needed:
            target = Target(POD_DISRUPTION_BUDGETS, namespace, budget["metadata"]["name"], "status")
            # As upstream the server writes this itself, not whoever evicts.
            on_budget = replace(call, target=target, dry_run=is_dry, field_manager="kube-apiserver")
            await self._registry.update(on_budget, _unpinned(pods.spent(pod["metadata"]["name"], now)), part="all")
        if not is_dry and not options.resource_version and not pod["metadata"].get("deletionTimestamp"):
            on_pod = replace(call, target=replace(call.target, subresource="status"))
            await self._registry.update(on_pod, _unpinned(pods.evicted(now)), part="all", is_tracked=False)
        await self._registry.delete(replace(call, dry_run=is_dry), options)
        return SUCCESS


def _finalize(wanted: Object) -> Change:
    def change(current: Object) -> Object:
        spec = dict(current.get("spec") or {})
        finalizers = (wanted.get("spec") or {}).get("finalizers")
        spec.pop("finalizers", None)
        if finalizers:
            spec["finalizers"] = finalizers
        return {**current, "spec": spec}

    return change


_PARTS: dict[str, Part] = {
    "ephemeralcontainers": pods.ephemeral,
    "resize": pods.resized,
    "finalize": _finalize,
}


def _of_part(change: Change, part: Part) -> Change:
    """The change reduced to the part of the object that the sub-resource writes."""

    def reduced(current: Object) -> Object:
        wanted = change(current)
        written = part(wanted)(current)
        kept = {key: value for key, value in written["metadata"].items() if key != "resourceVersion"}
        version = (wanted.get("metadata") or {}).get("resourceVersion")
        return {**written, "metadata": {**kept, **({"resourceVersion": version} if version else {})}}

    return reduced


def _unpinned(change: Change) -> Change:
    """The change made anew on whatever is current: nobody named a version."""

    def unpinned(current: Object) -> Object:
        wanted = change(current)
        kept = {key: value for key, value in wanted["metadata"].items() if key != "resourceVersion"}
        return {**wanted, "metadata": kept}

    return unpinned
