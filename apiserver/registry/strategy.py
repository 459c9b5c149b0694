"""What becomes of a request's object before it is stored: steps of create and update, the same for every kind. Pure.

Defaults, preparation and validation are the kind's (`apiserver.kinds`), everything else follows from the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from apiserver.kinds.rules import Rules, rules_for, rules_with
from apiserver.registry import metadata as meta
from apiserver.registry.conversion import stored_resource, to_stored
from apiserver.rules.defaulting import take_field
from machinery.api.canonical import canonical
from machinery.api.errors import BadRequest, Cause, invalid
from machinery.api.resource import Object, Resource
from machinery.api.timestamps import rfc3339
from machinery.features import FEATURES

_CREATED_BY_UPDATE = {
    "endpoints", "events", "leases", "limitranges", "podtemplates", "resourcequotas", "services",
    "roles", "rolebindings", "clusterroles", "clusterrolebindings",
}  # fmt: skip
_COUNTED_FROM_UPDATES = {"csidrivers"}
"""Kinds whose first generation upstream does not write."""
_NEVER_UNCONDITIONAL = {
    "apiservices", "csidrivers", "csinodes", "customresourcedefinitions", "leases", "mutatingwebhookconfigurations",
    "poddisruptionbudgets", "runtimeclasses", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations", "volumeattachments",
}  # fmt: skip


def is_created_by_update(resource: Resource) -> bool:
    return resource.plural in _CREATED_BY_UPDATE


def may_be_unconditional(resource: Resource) -> bool:
    """Whether an update may leave the resourceVersion out."""
    return resource.plural not in _NEVER_UNCONDITIONAL


def encode(obj: Object) -> bytes:
    """The bytes to store: kind, apiVersion and metadata first, so that readers find the metadata without parsing."""
    ordered = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], **obj}
    metadata = ordered["metadata"]
    if "resourceVersion" in metadata:
        ordered["metadata"] = {key: value for key, value in metadata.items() if key != "resourceVersion"}
    return orjson.dumps(ordered)


def received(obj: Object, resource: Resource, namespace: str, *, is_canonical: bool = False) -> Object:
    """The request's object, canonical and defaulted, in the request's version; a copy that may be changed.

    Where it `is_canonical` already, it is changed itself.
    """
    check_kind(obj, resource)
    named = {**obj, "kind": resource.kind, "apiVersion": resource.api_version}
    given = obj.get("metadata") or {}
    named["metadata"] = dict(given)
    _place(named["metadata"], resource, namespace)
    defaulted = named if is_canonical else canonical(named, resource)
    rules_for(resource).default(defaulted)
    return defaulted


def converted(obj: Object, resource: Resource) -> Object:
    """The object in its stored version, with that version's defaults."""
    row = stored_resource(resource)
    if row == resource:
        return obj
    stored = canonical(to_stored(obj, resource), row)
    rules_for(row).default(stored)
    return stored


def check_kind(obj: Object, resource: Resource) -> None:
    """Raises BadRequest where the body is of another kind than the path."""
    kind, version = obj.get("kind") or resource.kind, obj.get("apiVersion") or resource.api_version
    if (kind, version) == (resource.kind, resource.api_version):
        return
    given, expected = _kind_text(version, kind), _kind_text(resource.api_version, resource.kind)
    raise BadRequest(
        f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get version/kind; "
        f"json parse error: {kind} in version {version}"
        if not given
        else f"{kind} in version {_quoted(version)} cannot be handled as a {resource.kind}: "
        + (f"no kind {_quoted(kind)} is registered for version {_quoted(version)} in scheme {_SCHEME}"
           if kind == resource.kind else f"converting ({given}) to ({expected}): unknown conversion")
    )  # fmt: skip


_SCHEME = '"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"'


def _quoted(text: str) -> str:
    return f'"{text}"'


def _kind_text(version: str, kind: str) -> str:
    group, _, number = version.rpartition("/")
    return f"{group}/{number}, Kind={kind}"


def _place(metadata: Object, resource: Resource, namespace: str) -> None:
    """Puts the object into the request's namespace; raises BadRequest where it names another."""
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    given = metadata.get("namespace")
    if given and namespace and given != namespace:
        raise meta.wrong_namespace()
    if namespace:
        metadata["namespace"] = namespace


def fill_new(obj: Object, resource: Resource, now: datetime) -> None:
    """The system's part of a new object in its stored version."""
    metadata = obj["metadata"]
    meta.fill_on_create(metadata, now)
    kind_rules = rules_for(resource)
    kind_rules.prepare_create(obj)
    _time_status(obj, now)
    if kind_rules.has_generation and resource.plural not in _COUNTED_FROM_UPDATES:
        metadata["generation"] = 1


def _time_status(obj: Object, now: datetime) -> None:
    """The phase and the conditions that the kind's preparation begins with know no clock."""
    status = obj.get("status")
    if not isinstance(status, dict):
        return
    _time_phase(status, now)
    for condition in status.get("conditions") or []:
        if condition.get("lastTransitionTime") is None:
            condition["lastTransitionTime"] = rfc3339(now)


def _time_phase(status: Object, now: datetime) -> None:
    """Where the kind's preparation has left the time open."""
    if "lastPhaseTransitionTime" in status and status["lastPhaseTransitionTime"] is None:
        status["lastPhaseTransitionTime"] = rfc3339(now)


def check_new(
    obj: Object, resource: Resource, features: Mapping[str, bool] = FEATURES, *, asked: Resource | None = None
) -> None:
    """Raises Invalid with all that is wrong with a new object, which came by the version `asked`."""
    causes = meta.validate(obj["metadata"], resource) + _rules_of(asked, resource, features).validate(obj)
    _raise(causes, obj, resource)


def _rules_of(asked: Resource | None, stored: Resource, features: Mapping[str, bool]) -> Rules:
    own = rules_for(asked) if asked is not None and asked != stored else None
    return own if own is not None and own.is_stricter else rules_with(stored, features)


def prepare_update(new: Object, old: Object, resource: Resource, *, is_system: bool = False) -> None:
    """The kind's preparation (not of what the system changes), the metadata that stays, and the generation."""
    meta.keep_on_update(new["metadata"], old["metadata"])
    kind_rules = rules_for(resource)
    if not is_system:
        kind_rules.prepare_update(new, old)
    if kind_rules.has_generation and _is_changed(new, old, resource):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def prepare_status_update(new: Object, old: Object, resource: Resource, now: datetime) -> Object:
    """The old object with the new one's status, and its metadata as far as clients may change that."""
    meta.keep_on_update(new["metadata"], old["metadata"])
    metadata = {**new["metadata"]}
    for field in meta.stays_with_status(resource):
        take_field(metadata, old["metadata"], field)
    written = {**old, "metadata": metadata, "status": new.get("status", {})}
    rules_for(resource).prepare_status(written, old)
    _time_phase(written["status"], now)
    return written


def check_update(
    new: Object,
    old: Object,
    resource: Resource,
    features: Mapping[str, bool] = FEATURES,
    *,
    asked: Resource | None = None,
) -> None:
    """Raises Invalid with all that is wrong since an update, which came by the version `asked`."""
    causes = meta.validate_update(new["metadata"], old["metadata"], resource)
    kind_rules = _rules_of(asked, resource, features)
    if kind_rules.rechecked == "first":
        causes += kind_rules.validate(new)
    causes += kind_rules.validate_update(new, old)
    if kind_rules.rechecked == "last":
        causes += kind_rules.validate(new)
    _raise(_unknown_before(causes, old, resource), new, resource)


def check_part_update(new: Object, old: Object, resource: Resource, subresource: str) -> None:
    """Raises Invalid with all that is wrong with what a sub-resource other than the status has changed."""
    causes = meta.validate_update(new["metadata"], old["metadata"], resource)
    part_errors = rules_for(resource).validate_parts.get(subresource)
    causes += part_errors(new, old) if part_errors is not None else []
    _raise(_unknown_before(causes, old, resource), new, resource)


def _unknown_before(causes: list[Cause], old: Object, resource: Resource) -> list[Cause]:
    """Without what was wrong already. Rules grow stricter from release to release, and what an earlier one has stored
    must be able to lose its finalizers all the same, and to be mended piece by piece."""
    if not causes:
        return causes
    known = set(rules_for(resource).validate(old))
    return [cause for cause in causes if cause not in known]


def check_status_update(new: Object, old: Object, resource: Resource) -> None:
    """Raises Invalid with all that is wrong with a change of the status."""
    causes = meta.validate_update(new["metadata"], old["metadata"], resource)
    _raise(causes + rules_for(resource).validate_status(new, old), new, resource)


def _is_changed(new: Object, old: Object, resource: Resource) -> bool:
    ignored = ("metadata", "status", "kind", "apiVersion")
    if resource.plural == "pods":
        # Binding is not the user's change: upstream counts none for it.
        new, old = _unbound(new), _unbound(old)
    if any(new.get(key) != old.get(key) for key in {*new, *old} if key not in ignored):
        return True
    # Deployments copy their annotations to ReplicaSets, so a change of them is one to act upon.
    return resource.plural == "deployments" and _annotations(new) != _annotations(old)


def _unbound(pod: Object) -> Object:
    return {**pod, "spec": {key: value for key, value in (pod.get("spec") or {}).items() if key != "nodeName"}}


def _annotations(obj: Object) -> Any:
    return obj["metadata"].get("annotations") or {}


def _raise(causes: list[Cause], obj: Object, resource: Resource) -> None:
    if causes:
        name = obj["metadata"].get("name") or obj["metadata"].get("generateName") or ""
        raise invalid(resource.kind, name, causes, resource.group)
