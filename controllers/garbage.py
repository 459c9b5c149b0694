"""Garbage collection by owner references: background, foreground and orphan, over all resources.

An object is deleted when none of its owners exists any more; an owner with `foregroundDeletion` waits for those
dependents that block it, one with `orphan` lets its dependents go first.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controllers.plan import Action, Controller, Delete, Key, Patch, Plan, Record, key_of, nobody
from machinery.api.resource import Object, Resource
from machinery.api.resources import BY_KIND, EVENTS, NAMESPACES, RESOURCES
from machinery.api.views import View
from machinery.client.cache import Cache, Change
from machinery.structs import Struct

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_ASKED = ((ORPHAN, "Orphan"), (FOREGROUND, "Foreground"))
"""Finalizers of an object that is not deleted yet, and how it is to be deleted for their sake."""
COLLECTED = tuple(
    row for row in RESOURCES if row.is_stored and row.stored_as is None and row != EVENTS and "delete" in row.verbs
)


class Dependent(Struct, frozen=True):
    resource: Resource
    view: View


class State(Struct, frozen=True):
    """The object, its owners as they are now (None: gone), and what depends on it where that decides."""

    resource: Resource
    view: View
    owners: tuple[tuple[Object, View | None], ...]
    dependents: tuple[Dependent, ...]
    strays: tuple[Object, ...] = ()
    """References to owners that are there, but in another namespace: they own nothing here."""


def plan(state: State, now: datetime) -> Plan:
    finalizers = state.view.finalizers
    if state.view.deleted and ORPHAN in finalizers:
        return Plan([*_orphaned(state), _without_finalizer(state, ORPHAN)])
    if state.view.deleted and FOREGROUND in finalizers:
        return Plan(_foreground(state))
    if state.owners and not state.view.deleted:
        return Plan([*(_stray(state.view, ref) for ref in state.strays), *_by_owners(state)])
    return Plan()


def _stray(view: View, ref: Object) -> Record:
    named = f"{ref['apiVersion']}/{ref['kind']}, namespace: {view.namespace}, name: {ref['name']}, uid: {ref['uid']}"
    said = f'ownerRef [{named}] does not exist in namespace "{view.namespace}"'
    return Record(view.obj, "Warning", "OwnerRefInvalidNamespace", said)


def _by_owners(state: State) -> list[Action]:
    solid = [ref for ref, owner in state.owners if owner is not None and not _waits(owner)]
    waiting = [ref for ref, owner in state.owners if owner is not None and _waits(owner)]
    if solid:
        if len(solid) == len(state.owners):
            return []
        return [Patch(state.resource, key_of(state.view.obj), _owned_by(state.view, solid))]
    if waiting and state.dependents:
        return [_unblocked(state) or _delete(state, "Foreground")]
    return [_delete(state, next((word for name, word in _ASKED if name in state.view.finalizers), "Background"))]


def _delete(state: State, propagation: str) -> Delete:
    # Whoever adopts the object meanwhile saves it: it is deleted only as it was seen.
    view = state.view
    return Delete(
        state.resource, key_of(view.obj), uid=view.uid, resource_version=view.resource_version, propagation=propagation
    )


def _unblocked(state: State) -> Patch | None:
    """Lets nobody wait for the object any more where one that depends on it waits: they may wait for each other."""
    refs = state.view.owner_references
    if not any(_waits(each.view) for each in state.dependents) or not any(map(_is_blocking, refs)):
        return None
    return Patch(
        state.resource,
        key_of(state.view.obj),
        _owned_by(state.view, [{**ref, "blockOwnerDeletion": False} if _is_blocking(ref) else ref for ref in refs]),
    )


def _is_blocking(ref: Object) -> bool:
    return bool(ref.get("blockOwnerDeletion"))


def _waits(owner: View) -> bool:
    return bool(owner.deleted) and FOREGROUND in owner.finalizers


def _orphaned(state: State) -> list[Action]:
    return [
        Patch(
            each.resource,
            key_of(each.view.obj),
            _owned_by(each.view, [ref for ref in each.view.owner_references if ref["uid"] != state.view.uid]),
        )
        for each in state.dependents
    ]


def _foreground(state: State) -> list[Action]:
    """Dependents are decided on by themselves: who has another owner stays, and lets go of this one."""
    is_blocked = any(_blocks(each.view, state.view.uid) for each in state.dependents)
    return [] if is_blocked else [_without_finalizer(state, FOREGROUND)]


def _blocks(view: View, uid: str) -> bool:
    return any(ref["uid"] == uid and _is_blocking(ref) for ref in view.owner_references)


def _without_finalizer(state: State, name: str) -> Patch:
    kept = [each for each in state.view.finalizers if each != name]
    metadata = {"uid": state.view.uid, "resourceVersion": state.view.resource_version, "finalizers": kept or None}
    return Patch(state.resource, key_of(state.view.obj), {"metadata": metadata})


def _owned_by(view: View, refs: list[Object]) -> Object:
    return {"metadata": {"uid": view.uid, "ownerReferences": refs or None}}


def observe(cache: Cache, key: Key) -> State | None:
    assert key.resource is not None
    found = cache.get(key.resource, key.namespace, key.name)
    if found is None:
        return None
    view = View(found)
    owners = []
    for ref in view.owner_references:
        known, owner = _owner(cache, ref, view.namespace)
        if not known:
            # Of a kind that nobody here serves: it may exist elsewhere, so nothing is decided.
            return None
        owners.append((ref, owner))
    is_owner_waiting = any(owner is not None and _waits(owner) for _, owner in owners)
    needed = is_owner_waiting or (view.deleted and {FOREGROUND, ORPHAN} & set(view.finalizers))
    strays = tuple(ref for ref, owner in owners if owner is None and _is_elsewhere(cache, ref))
    return State(key.resource, view, tuple(owners), _dependents(cache, view.uid) if needed else (), strays)


def _resource_of(ref: Object) -> Resource | None:
    group, _, version = ref.get("apiVersion", "").rpartition("/")
    return BY_KIND.get((group, version, ref.get("kind", "")))


def _is_elsewhere(cache: Cache, ref: Object) -> bool:
    """Whether some namespace has the owner."""
    resource = _resource_of(ref)
    if resource is None or not resource.namespaced:
        return False
    names = (namespace["metadata"]["name"] for namespace in cache.list(NAMESPACES))
    found = (cache.get(resource, name, ref["name"]) for name in names)
    return any(owner is not None and View(owner).uid == ref["uid"] for owner in found)


def _owner(cache: Cache, ref: Object, namespace: str) -> tuple[bool, View | None]:
    resource = _resource_of(ref)
    if resource is None or (resource.namespaced and not namespace):
        # What lies outside of namespaces can't name an owner inside one: which would it be?
        return False, None
    found = cache.get(resource, namespace if resource.namespaced else "", ref["name"])
    return True, View(found) if found is not None and View(found).uid == ref["uid"] else None


def _dependents(cache: Cache, uid: str) -> tuple[Dependent, ...]:
    # What has no uid owns nothing: a reference without one names nobody.
    return tuple(Dependent(row, View(obj)) for row in COLLECTED for obj in cache.owned_by(row, uid)) if uid else ()


def _key(resource: Resource, obj: Object) -> Key:
    return Key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"], resource)


def related(cache: Cache, change: Change) -> Iterable[Key]:
    """Whom a change concerns: the object itself, dependents of what went or waits, owners of what went or left them."""
    obj, metadata = change.object, change.object["metadata"]
    owned = metadata.get("ownerReferences") or []
    if change.after is not None and (owned or metadata.get("deletionTimestamp")):
        yield _key(change.resource, obj)
    if change.after is None or FOREGROUND in (metadata.get("finalizers") or ()):
        for dependent in _dependents(cache, metadata.get("uid", "")):
            yield _key(dependent.resource, dependent.view.obj)
    if change.after is None or metadata.get("deletionTimestamp"):
        left = owned
    else:
        left = [ref for ref in View(change.before).owner_references if ref not in owned] if change.before else []
    for ref in left:
        resource = _resource_of(ref)
        if resource is not None:
            yield Key(metadata.get("namespace", "") if resource.namespaced else "", ref["name"], resource)


GARBAGE = Controller(
    "garbage",
    wakes={row: nobody for row in COLLECTED},
    related=related,
    observe=observe,
    plan=plan,
    identity="generic-garbage-collector",
    component="garbage-collector-controller",
)
