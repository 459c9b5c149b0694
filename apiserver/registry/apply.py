"""Server-side apply: an applied configuration against the live object and its owners. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

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
from apiserver.registry.metadata import check_name, wrong_namespace
from apiserver.registry.scale import SCALES, check_scale
from apiserver.registry.typed import typed_errors
from apiserver.registry.wholeset import Trie, configured
from apiserver.rules.field_errors import required
from machinery.api.errors import BadRequest, Cause, Conflict, UnknownError, invalid
from machinery.api.resource import Object
from machinery.api.timestamps import rfc3339
from machinery.structs import replace


def check_apply(call: Call, patch: Object) -> None:
    """Raises BadRequest, Invalid and UnknownError for what can't be applied."""
    resource = call.resource
    if not call.field_manager:
        cause = required("fieldManager", "is required for apply patch")
        raise invalid("PatchOptions", "", [cause], "meta.k8s.io")
    said, wanted = _kind_of(patch), f"{resource.group}/{resource.version}, Kind={resource.kind}"
    if said != wanted:
        raise BadRequest(f"invalid object type: {said}")
    metadata = patch.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    schema = schema_of(resource)
    if schema is not None and (why := typed_errors(patch, schema)):
        # Upstream has no status for it.
        which = f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}; {wanted}"
        raise UnknownError(f"failed to create typed patch object ({which}): {why}")
    check_fields(patch, resource, call)
    if metadata.get("name"):
        check_name(metadata, call.target.name)
    if resource.namespaced and metadata.get("namespace", call.target.namespace) != call.target.namespace:
        raise wrong_namespace()


def _kind_of(patch: Object) -> str:
    """The kind that a configuration says to be of, as Go writes it."""
    version, kind = (str(patch[key]) if isinstance(patch.get(key), str) else "" for key in ("apiVersion", "kind"))
    if version.count("/") > 1:
        return "/, Kind="
    group, _, number = version.rpartition("/")
    return f"{group}/{number}, Kind={kind}"


def check_repeats(call: Call) -> None:
    """Raises BadRequest, or warns, of keys that the configuration's text has twice; called when all else is well."""
    if call.complaints and call.field_validation == "Strict":
        lines = "\n  ".join(["yaml: unmarshal errors:", *call.complaints])
        raise BadRequest(f"error strict decoding YAML: error converting YAML to JSON: {lines}")
    for line in call.complaints if call.field_validation == "Warn" else ():
        call.warn(line)


def applied_owner(call: Call, patch: Object, now: datetime) -> Owners:
    """The owners of an object that an apply creates."""
    fields = _config_fields(call, patch)
    return {applier(call): Managed(fields, rfc3339(now))} if fields else {}


def _config_fields(call: Call, patch: Object) -> Trie:
    fields = configured(patch, schema_of(call.resource))
    return tracked(fields, call.resource, call.target.subresource) or {}


def applied(call: Call, patch: Object, now: datetime, *, force: bool) -> Callable[[Object], Object]:
    """The change from the live object to the applied one, with its owners; raises Conflict."""
    resource, manager = call.resource, applier(call)
    schema, fields = schema_of(resource), _config_fields(call, patch)
    config = _bare_config(patch)
    is_scale = call.target.subresource == "scale"
    is_kubectl = manager.name == MANAGER and not is_scale

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
            conceded = untouched(live, resource) if is_kubectl else None
            seen = _of_scale(others) if is_scale else others
            _refuse_conflicts(seen, root_difference(changed, conceded))
        found = without_fields(others, root_union(changed, removed))
        is_same = not changed and not removed
        time = (last.time if last else "") if is_same else rfc3339(now)
        if fields:
            found[manager] = Managed(fields, time)
        check_repeats(call)
        return _dressed(told(value, patch) if is_kubectl else value, live, patch, found)

    return change


def applied_scale(call: Call, patch: Object, now: datetime, *, force: bool) -> Callable[[Object], Object]:
    """The change of the object that an applied Scale asks for: its replicas alone count."""
    resource, metadata = call.resource, patch.get("metadata") or {}
    kept = {key: metadata[key] for key in ("name", "resourceVersion") if metadata.get(key)}
    config: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": kept}
    if "replicas" in (patch.get("spec") or {}):
        config["spec"] = {"replicas": patch["spec"]["replicas"]}
    change = applied(call, config, now, force=force)

    def scaled(live: Object) -> Object:
        wanted = change(live)
        # A Scale whose replicas nobody gives any more has none.
        replicas = (wanted.get("spec") or {}).get("replicas") or 0
        check_scale(replicas, metadata.get("uid"), live, resource)
        return {**wanted, "spec": {**(wanted.get("spec") or {}), "replicas": replicas}}

    return scaled


def _of_scale(others: Owners) -> Owners:
    return {replace(manager, api_version=SCALES.api_version): managed for manager, managed in others.items()}


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
