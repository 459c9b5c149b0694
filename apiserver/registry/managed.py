"""Who manages which field: every write takes what it changes, and gives up what it removes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from apiserver.registry.call import Call
from apiserver.registry.conversion import stored_resource
from apiserver.registry.fieldset import (
    compare,
    is_set,
    root_difference,
    root_union,
    without,
)
from apiserver.registry.metadata import stays_with_status
from apiserver.registry.wholeset import Trie
from machinery.api.canonical import canonical
from machinery.api.resource import Object, Resource
from machinery.api.schema import Definition, definition
from machinery.api.timestamps import rfc3339
from machinery.structs import Struct, replace

_SYSTEM = ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields",
           "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds")  # fmt: skip
_STRIPPED = frozenset(f"f:{name}" for name in _SYSTEM)
_MOST_UPDATERS = 10
ANCIENT = "ancient-changes"


class Manager(Struct, frozen=True):
    """Whom an entry belongs to; the time is not part of that."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


class Managed(Struct, frozen=True):
    """What one manager has; `time` is empty for an apply that changed nothing."""

    fields: Trie
    time: str = ""


Owners = dict[Manager, Managed]


def owners(obj: Object) -> Owners:
    """The object's managedFields, read."""
    found: Owners = {}
    for entry in obj["metadata"].get("managedFields") or []:
        manager = Manager(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )
        found[manager] = Managed(entry.get("fieldsV1") or {}, entry.get("time") or "")
    return found


def are_sound(entries: list[Object]) -> bool:
    """Whether managedFields can be read; upstream takes those that can't for none at all."""
    return all(
        entry.get("manager")
        and entry.get("operation") in ("Apply", "Update")
        and entry.get("apiVersion")
        and is_set(entry.get("fieldsV1") or {})
        for entry in entries
    )


def write_owners(obj: Object, found: Owners) -> None:
    """Puts them into the object's metadata, in upstream's order; changes `obj`."""
    metadata = obj["metadata"]
    metadata.pop("managedFields", None)
    if found:
        metadata["managedFields"] = [_entry(manager, managed) for manager, managed in sorted(found.items(), key=_order)]


def _order(pair: tuple[Manager, Managed]) -> tuple[str, str, str, str, str]:
    manager, managed = pair
    return manager.operation, managed.time, manager.name, manager.api_version, manager.subresource


def _entry(manager: Manager, managed: Managed) -> Object:
    entry: Object = {"manager": manager.name, "operation": manager.operation, "apiVersion": manager.api_version}
    if managed.time:
        entry["time"] = managed.time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": managed.fields}
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def updater(call: Call) -> Manager:
    """The manager of a call that is no apply."""
    part = call.target.subresource
    return Manager(call.field_manager or "unknown", "Update", call.resource.api_version, part)


def applier(call: Call) -> Manager:
    return Manager(call.field_manager, "Apply", call.resource.api_version, call.target.subresource)


def schema_of(resource: Resource) -> Definition | None:
    return definition(resource)


@cache
def _zero(resource: Resource) -> Object:
    """The object that Go starts from: what it has without anybody's doing is nobody's."""
    return canonical({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}}, resource)


def track_create(new: Object, call: Call, now: datetime) -> None:
    """Records the creator of the defaulted object; called before the kind's preparation and admission add theirs."""
    new["metadata"].pop("managedFields", None)
    resource = call.resource
    changed, _ = compare(_zero(resource), new, schema_of(resource))
    fields = tracked(changed, resource)
    write_owners(new, {updater(call): Managed(fields, rfc3339(now))} if fields else {})


def tracked(fields: Trie | None, resource: Resource, part: str = "") -> Trie | None:
    """The set without what the system keeps and what this part of the object does not write."""
    kept = _without_system(fields)
    return without(kept, _not_written(resource, part, kept or {}))


def _without_system(fields: Trie | None) -> Trie | None:
    kept = {key: below for key, below in (fields or {}).items() if key not in ("f:apiVersion", "f:kind")}
    metadata = {key: below for key, below in kept.pop("f:metadata", {}).items() if key not in _STRIPPED}
    return {"f:metadata": metadata, **kept} if metadata else kept or None


def _not_written(resource: Resource, part: str, fields: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    if part == "status":
        others = [(key.removeprefix("f:"),) for key in fields if key not in ("f:metadata", "f:status")]
        return [*others, *(("metadata", field) for field in stays_with_status(resource))]
    return [("status",)] if not part and _resets_status(resource) else []


def _resets_status(resource: Resource) -> bool:
    return resource.subresource("status") is not None


def track_update(new: Object, old: Object, call: Call, now: datetime) -> None:
    """Records who changed what, in the call's version; changes `new`.

    Given managedFields replace the recorded ones, as upstream allows; left out, or where they make no sense, they stay.
    """
    resource = call.resource
    given, recorded = new["metadata"].get("managedFields"), old["metadata"].get("managedFields")
    # Either is how clients strip an object of all owners.
    is_reset = given is not None and given in ([], [{}])
    is_given = given and (given == recorded or are_sound(given))
    found = {} if is_reset else owners(new) if is_given else owners(old)
    changed, removed = compare(bare(old), bare(new), schema_of(resource))
    part = call.target.subresource
    changed, removed = tracked(changed, resource, part), tracked(removed, resource, part)
    if changed or removed:
        found = without_fields(found, root_union(changed, removed))
    if changed:
        manager = updater(call)
        before = found.get(manager)
        fields = root_union(before.fields if before else None, changed)
        found[manager] = Managed(fields or {}, rfc3339(now))
        found = _capped(found)
    write_owners(new, found)


def bare(obj: Object) -> Object:
    """The object without what no set ever holds."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SYSTEM}
    return {**{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}, "metadata": metadata}


def without_fields(found: Owners, taken: Trie | None) -> Owners:
    """The owners after others took or removed these fields; who is left with nothing goes."""
    if not taken:
        return dict(found)
    kept: Owners = {}
    for manager, managed in found.items():
        fields = root_difference(managed.fields, taken)
        if fields:
            kept[manager] = replace(managed, fields=fields)
    return kept


def _capped(found: Owners) -> Owners:
    """Of many updaters the oldest are joined into one, so that entries do not grow without end."""
    updaters = sorted((pair for pair in found.items() if pair[0].operation == "Update"), key=_order)
    if len(updaters) <= _MOST_UPDATERS:
        return found
    kept = dict(found)
    for manager, managed in updaters[: len(updaters) - _MOST_UPDATERS + 1]:
        if manager.name == ANCIENT:
            continue
        del kept[manager]
        ancient = Manager(ANCIENT, "Update", manager.api_version)
        before = kept.get(ancient)
        fields = root_union(before.fields if before else None, managed.fields)
        kept[ancient] = Managed(fields or {}, managed.time)
    return kept


def before_first_apply(live: Object, resource: Resource) -> Owners:
    """The owners of an object that was written before anything was tracked: one for all of it."""
    row = stored_resource(resource)
    fields = tracked(compare(_zero(row), live, schema_of(resource))[0], resource)
    if not fields:
        return {}
    return {Manager("before-first-apply", "Update", resource.api_version): Managed(fields)}
