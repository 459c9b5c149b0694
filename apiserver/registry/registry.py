"""The generic registry: create, update and delete of any stored kind, from a request's object to the written one.

A write is decided on the cache's state and carried out by one compare-and-put; whoever was faster makes it decide
again. It is answered when the cache has seen it, so that everybody who asks afterwards finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from apiserver.admission.chain import Admit, Review, admit
from apiserver.cache_entry import KEY_PREFIX, Entry
from apiserver.cache_view import CacheView
from apiserver.kinds.rules import rules_for
from apiserver.quotas import Quotas
from apiserver.registry import deletion, managed, strategy
from apiserver.registry import metadata as meta
from apiserver.registry.addresses import ClusterAddresses
from apiserver.registry.apply import applied_owner
from apiserver.registry.call import Call, DeleteOptions
from apiserver.registry.conversion import from_stored, stored_resource
from apiserver.registry.metadata import RETRIES_OF_GENERATED_NAMES, generated_name
from apiserver.rules.field_errors import invalid_value, said
from apiserver.set_aside import Unreadable
from apiserver.storage.shared_lease import SharedLease
from apiserver.storage.store import Store, TxnResult
from apiserver.watchcache import WatchCache
from machinery.api.canonical import canonical, completed
from machinery.api.errors import UnknownError, already_exists, conflict, invalid, not_found
from machinery.api.resource import Object, Resource
from machinery.api.resources import EVENTS, LEASES, NAMESPACES, SERVICES
from machinery.client.clock import Clock
from machinery.features import FEATURES
from machinery.structs import replace

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
_ATTEMPTS = 64

Part = Literal["spec", "status", "all"]
"""What an update may change: all but the status, the status alone, or everything, which only the system does."""

Change = Callable[[Object], Object]
"""From the current object to the wanted one, both in the request's version; must not change what it is given."""


class Registry:
    """`chain` is asked before anything is decided, `judges` of what is sound; `addresses` gives Services theirs."""

    def __init__(
        self,
        store: Store,
        cache: WatchCache,
        chain: Sequence[Admit],
        addresses: ClusterAddresses,
        clock: Clock,
        features: Mapping[str, bool] = FEATURES,
        judges: Sequence[Admit] = (),
    ) -> None:
        self._store = store
        self._cache = cache
        self._chain = chain
        self._judges = judges
        self._addresses = addresses
        self._quotas = Quotas(CacheView(cache))
        self._clock = clock
        self._features = features
        self._event_lease = SharedLease(store, clock)

    @property
    def clock(self) -> Clock:
        return self._clock

    def entry(self, call: Call) -> Entry:
        """The object as it is stored; raises NotFound."""
        target = call.target
        found = self._cache.get(target.resource, target.namespace, target.name)
        if found is None:
            if aside := self.set_aside(call):
                raise aside.error()
            raise not_found(target.resource.plural, target.name, target.resource.group)
        return found

    def set_aside(self, call: Call) -> Unreadable | None:
        """The stored value in the object's place that can't be read, if that is what there is."""
        target = call.target
        return self._cache.set_aside.get(key_of(stored_resource(target.resource), target.namespace, target.name))

    def current(self, call: Call) -> Object:
        """The object in the call's version; raises NotFound. Shared: copy what you change."""
        return from_stored(self.entry(call).object, call.resource)

    async def create(self, call: Call, obj: Object, *, is_applied: bool = False) -> Object:
        """The created object in the call's version."""
        resource = call.resource
        new = strategy.received(obj, resource, call.target.namespace, is_canonical=call.is_canonical)
        metadata = new["metadata"]
        _check_url_name(call, metadata)
        _tell_of_repeated_owners(call, metadata)
        if is_applied:
            managed.write_owners(new, applied_owner(call, obj, self._clock.now()))
        else:
            managed.track_create(new, call, self._clock.now())
        stored = strategy.converted(new, resource)
        prefix = stored["metadata"].get("generateName", "")
        is_generated = bool(prefix) and not stored["metadata"].get("name")
        for attempt in range(RETRIES_OF_GENERATED_NAMES):
            if is_generated:
                stored["metadata"]["name"] = generated_name(prefix)
            written = await self._create(call, stored)
            if written is not None:
                return from_stored(written, resource)
            if not is_generated or attempt + 1 == RETRIES_OF_GENERATED_NAMES:
                break
        name, namespace = stored["metadata"]["name"], stored["metadata"].get("namespace") or ""
        there = self._cache.get(stored_resource(resource), namespace, name)
        is_ending = there is not None and bool(there.object["metadata"].get("deletionTimestamp"))
        raise already_exists(resource.plural, name, resource.group, is_generated=bool(prefix), is_ending=is_ending)

    async def _create(self, call: Call, stored: Object) -> Object | None:
        """The created object, None where its name is taken."""
        row = stored_resource(call.resource)
        metadata = stored["metadata"]
        # A change of the copy only: with another generated name everything is decided anew.
        new = {**stored, "metadata": dict(metadata)}
        name, namespace = metadata.get("name") or "", metadata.get("namespace") or ""
        await admit(self._chain, Review("CREATE", call, row, namespace, name, obj=new))
        strategy.fill_new(new, row, self._clock.now())
        with self._addresses.hold(new, row):
            strategy.check_new(new, row, self._features, asked=call.resource)
            for warning in rules_for(row).warnings(new):
                call.warn(warning)
            await admit(self._judges, Review("CREATE", call, row, namespace, name, obj=new))
            final = completed(new, row)
            with self._quotas.hold(row, final):
                if call.dry_run:
                    return None if self._cache.get(row, namespace, name) else final
                if call.verb == "create":
                    meta.check_unstored(metadata)
                result = await self._put(row, final, expected=0)
            if not result.succeeded:
                return None
            return _at(final, result.revision)

    async def replace(self, call: Call, obj: Object) -> tuple[Object, bool]:
        """The updated object, and whether it was created; `obj` comes from the request."""
        resource = call.resource
        strategy.check_kind(obj, resource)
        target = call.target
        meta.check_name(obj.get("metadata") or {}, target.name)
        if self._cache.get(resource, target.namespace, target.name) is None and not self.set_aside(call):
            return await self._create_by_update(call, obj)
        # Decided anew on a newer one it would have to be as it came.
        is_decided_once = bool((obj.get("metadata") or {}).get("resourceVersion"))
        is_fresh = call.is_canonical and is_decided_once
        return await self.update(call, lambda current: obj, is_fresh=is_fresh), False

    async def _create_by_update(self, call: Call, obj: Object) -> tuple[Object, bool]:
        resource, metadata = call.resource, obj["metadata"]
        if not strategy.is_created_by_update(resource):
            raise not_found(resource.plural, call.target.name, resource.group)
        if metadata.get("uid"):
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: "
            key = key_of(stored_resource(resource), call.target.namespace, call.target.name)
            raise conflict(resource.plural, call.target.name, storage_error(key, why), resource.group)
        return await self.create(call, obj), True

    async def update(
        self,
        call: Call,
        change: Change,
        *,
        part: Part = "spec",
        is_tracked: bool = True,
        is_fresh: bool = False,
        is_ours: bool = False,
    ) -> Object:
        """Changes the object until nobody was faster; the written object in the call's version.

        A resourceVersion in what `change` returns, or a uid, must be the current one. Where `change` has written
        managedFields itself, or nobody manages what it does, `is_tracked` is false. `is_fresh`: what it returns is
        canonical and shares nothing with anything. `is_ours`: it is canonical and defaulted, as the object that it
        was given is; of that it may keep parts.
        """
        resource, row = call.resource, stored_resource(call.resource)
        for _ in range(_ATTEMPTS):
            entry = self.entry(call)
            old = entry.object
            wanted = change(from_stored(old, resource))
            is_pinned = self._check_version(call, wanted, entry, resource)
            new = (
                wanted if is_ours
                else strategy.received(wanted, resource, call.target.namespace, is_canonical=is_fresh)
            )  # fmt: skip
            _tell_of_repeated_owners(call, new["metadata"])
            if is_tracked:
                managed.track_update(new, from_stored(old, resource), call, self._clock.now())
            converted = strategy.converted(new, resource)
            decided = await self._decide(call, converted, old, row, part)
            final = completed(decided, row)
            with self._quotas.hold(row, final, old):
                result = await self._write(call, row, final, entry)
            if result is not None:
                return from_stored(result, resource)
            if is_pinned:
                raise conflict(resource.plural, call.target.name, MODIFIED, resource.group)
        raise conflict(resource.plural, call.target.name, MODIFIED, resource.group)

    async def _decide(self, call: Call, new: Object, old: Object, row: Resource, part: Part) -> Object:
        target = call.target
        if part == "status":
            new = strategy.prepare_status_update(new, old, row, self._clock.now())
        else:
            strategy.prepare_update(new, old, row, is_system=part == "all")
        review = Review("UPDATE", call, row, target.namespace, target.name, obj=new, old=old)
        await admit(self._chain, review)
        if part == "status":
            strategy.check_status_update(new, old, row)
            for warning in rules_for(row).status_warnings(new):
                call.warn(warning)
        elif part == "all":
            strategy.check_part_update(new, old, row, target.subresource)
        else:
            if row == SERVICES:
                self._addresses.keep(new, old)
            with self._addresses.hold(new, row, old):
                strategy.check_update(new, old, row, self._features, asked=call.resource)
            for warning in rules_for(row).update_warnings(new, old):
                call.warn(warning)
        await admit(self._judges, review)
        return new

    def _check_version(self, call: Call, wanted: Object, entry: Entry, resource: Resource) -> bool:
        """Whether the caller pinned the version; raises Conflict where it is no longer the current one."""
        metadata, name, old = wanted.get("metadata") or {}, call.target.name, entry.object["metadata"]
        uid, version = metadata.get("uid"), metadata.get("resourceVersion") or ""
        # A patch that makes another uid of it changes what no update may change.
        if uid and uid != old["uid"] and call.verb != "patch":
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['uid']}"
            raise conflict(resource.plural, name, storage_error(entry.key, why), resource.group)
        if version and not version.isdecimal():
            raise UnknownError(f"strconv.ParseUint: parsing {said(version)}: invalid syntax")
        if not version or int(version) == 0:
            if call.verb == "update" and not strategy.may_be_unconditional(resource):
                cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
                raise invalid(resource.plural, name, [cause], resource.group)
            return False
        if version != old["resourceVersion"]:
            raise conflict(resource.plural, name, MODIFIED, resource.group)
        return True

    async def _write(self, call: Call, row: Resource, final: Object, entry: Entry) -> Object | None:
        """Puts the decided object, or removes it if that was all it waited for; None if somebody was faster."""
        old = entry.object
        if deletion.ends_with_update(final, old, row):
            if call.dry_run or await self._remove(row, entry):
                return _at(final, entry.revision)
            return None
        if call.dry_run or _is_same(final, old):
            return _at(final, entry.revision)
        result = await self._put(row, final, expected=entry.revision)
        return _at(final, result.revision) if result.succeeded else None

    async def delete(self, call: Call, options: DeleteOptions) -> tuple[Object, bool]:
        """The object as it was last, and whether it is gone."""
        row = stored_resource(call.resource)
        target = call.target
        is_told = False
        for _ in range(_ATTEMPTS):
            entry = self.entry(call)
            old = entry.object
            if not is_told:
                await admit(self._chain, Review("DELETE", call, row, target.namespace, target.name, old=old))
                is_told = True
            deletion.check_preconditions(old, options, row)
            planned = deletion.plan(old, options, row, self._clock.now())
            if planned is None:
                return from_stored(old, call.resource), False
            if call.dry_run:
                return from_stored(planned.marked, call.resource), planned.is_removed
            if planned.is_removed and not planned.is_marked_first:
                if await self._remove(row, entry):
                    return from_stored(planned.marked, call.resource), True
                continue
            result = await self._put(row, canonical(planned.marked, row), expected=entry.revision)
            if not result.succeeded:
                continue
            if not planned.is_removed:
                return from_stored(_at(planned.marked, result.revision), call.resource), False
            if options.resource_version:
                options = replace(options, resource_version=str(result.revision))
        raise conflict(row.plural, target.name, MODIFIED, row.group)

    async def discard(self, call: Call, options: DeleteOptions, aside: Unreadable) -> Object:
        """Deletes what can't be read; all that is known of it comes back. Whoever expects a uid is refused."""
        target = call.target
        await admit(self._chain, Review("DELETE", call, call.resource, target.namespace, target.name, old=aside.stub))
        if options.uid or options.resource_version not in ("", str(aside.revision)):
            raise aside.error()
        if not call.dry_run:
            await self._seen(await self._store.delete(aside.key, expected=aside.revision))
        return aside.stub

    async def _put(self, row: Resource, final: Object, *, expected: int) -> TxnResult:
        metadata = final["metadata"]
        key = key_of(row, metadata.get("namespace") or "", metadata["name"])
        value = strategy.encode(final)
        # Heartbeats and events would each cost an fsync that nobody waits for.
        relaxed = row in (LEASES, EVENTS)
        lease = await self._event_lease.get() if row == EVENTS else 0
        with self._cache.vouch(value, final):
            result = await self._store.put(key, value, expected=expected, lease=lease, relaxed=relaxed)
            await self._seen(result)
        return result

    async def _remove(self, row: Resource, entry: Entry) -> bool:
        if row == NAMESPACES:
            # Nobody sees what can't be read, so it goes with its namespace.
            for aside in self._cache.set_aside.of_namespace(entry.name):
                await self._store.delete(aside.key, expected=aside.revision)
        result = await self._store.delete(entry.key, expected=entry.revision)
        await self._seen(result)
        return result.succeeded or result.current is None

    async def _seen(self, result: TxnResult) -> None:
        """Waits until the cache holds what was written, or what was in the way."""
        if result.succeeded:
            await self._cache.wait_for(result.revision)
        elif result.current is not None:
            await self._cache.wait_for(result.current.mod_revision)
        else:
            await self._cache.refresh()


def storage_error(key: str, why: str) -> str:
    """How upstream's storage says that what is there is not what was meant."""
    return f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"


def key_of(row: Resource, namespace: str, name: str) -> str:
    """The key under which the store holds the object."""
    scope = f"{namespace}/" if row.namespaced else ""
    return f"{KEY_PREFIX}{row.storage_prefix}/{scope}{name}"


def _at(obj: Object, revision: int) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}


def _is_same(new: Object, old: Object) -> bool:
    """Whether nothing but the version differs, which the one has by whether the client pinned it."""
    return _unversioned(new) == _unversioned(old)


def _unversioned(obj: Object) -> Object:
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}}


def _check_url_name(call: Call, metadata: dict[str, Any]) -> None:
    if call.target.name:
        metadata["name"] = metadata.get("name") or call.target.name
        meta.check_name(metadata, call.target.name)


def _tell_of_repeated_owners(call: Call, metadata: Object) -> None:
    """Each owner is kept once; of patches upstream looks at what admission has made of them alone."""
    if repeated := meta.repeated_owners(metadata):
        when = " after mutating admission happens" if call.verb == "patch" else ""
        call.warn(
            f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+,"
            " and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
            + ", ".join(repeated)
        )
