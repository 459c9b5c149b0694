"""Server-side apply: an applied configuration against the live object and its owners. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from apiserver.registry.call import Call
from apiserver.registry.fields import check_fields
from apiserver.registry.fieldset import (
    compare,
    members,
    root_difference,
    root_intersection,
    root_union,
)
from apiserver.registry.last_applied import MANAGER, told, untouched
from apiserver.registry.managed import (
    Managed,
    Manager,
    Owners,
    applier,
    bare,
    before_first_apply,
    owners,
    schema_of,
    tracked,
    without_fields,
    write_owners,
)
from apiserver.registry.merging import merged, pruned
from apiserver.registry.wholeset import Trie, configured
from apiserver.rules.field_errors import required
from machinery.api.errors import BadRequest, Cause, Conflict, invalid
from machinery.api.resource import Object
from machinery.api.timestamps import rfc3339


def check_apply(call: Call, patch: Any) -> None:
    """Raises BadRequest and Invalid for what can't be applied."""
    resource = call.resource
    if not isinstance(patch, dict):
        raise BadRequest("error decoding YAML: the applied configuration is no object")
    if not call.field_manager:
        cause = required("fieldManager", "is required for apply patch")
        raise invalid("PatchOptions", "", [cause], "meta.k8s.io")
    if patch.get("apiVersion") != resource.api_version or patch.get("kind") != resource.kind:
        raise BadRequest(
            f"failed to create typed patch object: {patch.get('apiVersion', '')}, Kind={patch.get('kind', '')} "
            f"is not {resource.api_version}, Kind={resource.kind}"
        )
    check_fields(patch, resource, call)
    metadata = patch.get("metadata") or {}
    if metadata.get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    if metadata.get("name", call.target.name) != call.target.name:
        raise BadRequest(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.target.name})"
        )


def applied_owner(call: Call, patch: Object, now: datetime) -> Owners:
    """The owners of an object that an apply creates."""
    return {applier(call): Managed(_config_fields(call, patch), rfc3339(now))}


def _config_fields(call: Call, patch: Object) -> Trie:
    fields = configured(patch, schema_of(call.resource))
    return tracked(fields, call.resource, call.target.subresource) or {}


def applied(call: Call, patch: Object, now: datetime, *, force: bool) -> Callable[[Object], Object]:
    """The change from the live object to the applied one, with its owners; raises Conflict."""
    resource, manager = call.resource, applier(call)
    schema, fields = schema_of(resource), _config_fields(call, patch)
    config = _bare_config(patch)

    def change(live: Object) -> Object:
        found = owners(live) or before_first_apply(live, resource)
        last = found.pop(manager, None)
        others: Owners = dict(found)
        value = merged(bare(live), config, schema)
        if last is not None and last.fields != fields:
            owned: Trie = fields
            for each in others.values():
                owned = root_union(owned, each.fields) or {}
            value = pruned(value, last.fields, owned, schema)
        changed, removed = compare(bare(live), value, schema)
        changed, removed = (tracked(each, resource, call.target.subresource) for each in (changed, removed))
        if not force:
            conceded = untouched(live, resource) if manager.name == MANAGER else None
            _refuse_conflicts(others, root_difference(changed, conceded))
        found = without_fields(others, root_union(changed, removed))
        is_same = not changed and not removed
        time = (last.time if last else "") if is_same else rfc3339(now)
        found[manager] = Managed(fields, time)
        return _dressed(told(value, patch) if manager.name == MANAGER else value, live, patch, found)

    return change


def _bare_config(patch: Object) -> Object:
    return bare({**patch, "metadata": patch.get("metadata") or {}})


def _dressed(value: Object, live: Object, patch: Object, found: Owners) -> Object:
    """The bare value with the live object's identity, and the version only if the configuration names one."""
    kept = {key: each for key, each in live["metadata"].items() if key not in value["metadata"] and key in _IDENTITY}
    version = (patch.get("metadata") or {}).get("resourceVersion")
    uid = (patch.get("metadata") or {}).get("uid")
    metadata = {**kept, **value["metadata"]}
    if version:
        metadata["resourceVersion"] = version
    if uid:
        metadata["uid"] = uid
    dressed = {"kind": live["kind"], "apiVersion": live["apiVersion"], **value, "metadata": metadata}
    write_owners(dressed, found)
    return dressed


_IDENTITY = ("name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp",
             "deletionGracePeriodSeconds")  # fmt: skip


def _refuse_conflicts(others: Owners, changed: Trie | None) -> None:
    conflicts = [
        (manager, path)
        for manager, managed in sorted(others.items(), key=lambda pair: _shown(pair[0]))
        for path in members(root_intersection(managed.fields, changed))
    ]
    if not conflicts:
        return
    causes = tuple(
        Cause("FieldManagerConflict", f"conflict with {_shown(manager)}", path) for manager, path in conflicts
    )
    raise Conflict(_said(conflicts), causes=causes)


def _said(conflicts: list[tuple[Manager, str]]) -> str:
    if len(conflicts) == 1:
        manager, path = conflicts[0]
        return f"Apply failed with 1 conflict: conflict with {_shown(manager)}: {path}"
    lines = []
    for manager in dict.fromkeys(manager for manager, _ in conflicts):
        lines.append(f"conflicts with {_shown(manager)}:")
        lines += [f"- {path}" for other, path in conflicts if other == manager]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


def _shown(manager: Manager) -> str:
    said = f'"{manager.name}"'
    if manager.subresource:
        said += f' with subresource "{manager.subresource}"'
    return f"{said} using {manager.api_version}" if manager.operation == "Update" else said
