"""What every kind's metadata obeys: names, labels, annotations, owners, and what an update may change. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from apiserver.rules.field_errors import forbidden, invalid_value, required
from apiserver.rules.immutability import IMMUTABLE
from apiserver.rules.label_rules import annotations_errors, label_errors
from apiserver.rules.name_rules import plain_finalizer_errors
from apiserver.rules.network.addresses import canonical_ip
from machinery.api import names
from machinery.api.errors import BadRequest, Cause, UnknownError
from machinery.api.resource import Object, Resource
from machinery.api.resources import BY_PATH
from machinery.api.timestamps import rfc3339

_MOST_GENERATED = 63 - 5
RETRIES_OF_GENERATED_NAMES = 8
_MACHINERY = {
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "coordination.k8s.io",
}  # fmt: skip
_OF_CORE = {row.group for row in BY_PATH.values()} - _MACHINERY
"""The groups that want finalizers to be standard or qualified; neither do those of the API's machinery nor users'."""
_FIXED = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def _anything(name: str) -> list[str]:
    return []


_RBAC, _NETWORKING = "rbac.authorization.k8s.io", "networking.k8s.io"
_NAME_RULES: dict[tuple[str, str], Callable[[str], list[str]]] = {
    ("", "namespaces"): names.dns_label,
    ("", "services"): names.dns_label,
    ("apps", "statefulsets"): names.dns_label,
    ("", "events"): names.path_segment,
    ("events.k8s.io", "events"): names.path_segment,
    (_RBAC, "roles"): names.path_segment,
    (_RBAC, "rolebindings"): names.path_segment,
    (_RBAC, "clusterroles"): names.path_segment,
    (_RBAC, "clusterrolebindings"): names.path_segment,
    (_NETWORKING, "ipaddresses"): canonical_ip,
    ("certificates.k8s.io", "certificatesigningrequests"): _anything,
    ("coordination.k8s.io", "leasecandidates"): names.config_key,
    ("apiregistration.k8s.io", "apiservices"): names.path_segment,
}
"""All other names are DNS subdomains."""


def generated_name(prefix: str) -> str:
    return prefix[:_MOST_GENERATED] + names.random_suffix()


def check_name(metadata: Object, name: str) -> None:
    """Raises BadRequest where the object is not named as the path of its request is."""
    given = metadata.get("name") or ""
    if not given:
        why = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        raise BadRequest(why)
    if given != name:
        raise BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")


def wrong_namespace() -> BadRequest:
    return BadRequest("the namespace of the provided object does not match the namespace sent on the request")


def check_unstored(metadata: Object) -> None:
    """Raises UnknownError where what is to be created says that it was stored before."""
    version = metadata.get("resourceVersion") or ""
    if version.isdecimal() and int(version):
        raise UnknownError("resourceVersion should not be set on objects to be created")


def fill_on_create(metadata: Object, now: datetime) -> None:
    """The system's fields; what a client may not set is taken away."""
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink"):
        metadata.pop(field, None)
    metadata["uid"] = names.uid()
    metadata["creationTimestamp"] = rfc3339(now)


def validate(metadata: Object, resource: Resource) -> list[Cause]:
    """All that is wrong with a new object's metadata."""
    causes = [*_validate_names(metadata, resource)]
    if (generation := metadata.get("generation") or 0) < 0:
        causes.append(invalid_value("metadata.generation", generation, "must be greater than or equal to 0"))
    return [*causes, *_validate_common(metadata, resource)]


def _validate_common(metadata: Object, resource: Resource) -> Iterator[Cause]:
    if labels := metadata.get("labels"):
        yield from label_errors(dict(sorted(labels.items())), "metadata.labels")
    if annotations := metadata.get("annotations"):
        yield from annotations_errors(dict(sorted(annotations.items())), "metadata.annotations")
    if owners := metadata.get("ownerReferences"):
        yield from _validate_owners(owners)
    if finalizers := metadata.get("finalizers"):
        yield from _validate_finalizers(finalizers, resource)


def _validate_names(metadata: Object, resource: Resource) -> Iterator[Cause]:
    rule = _NAME_RULES.get((resource.group, resource.plural), names.dns_subdomain)
    if prefix := metadata.get("generateName"):
        for said in rule(names.extended(prefix)):
            yield invalid_value("metadata.generateName", prefix, said)
    if name := metadata.get("name"):
        for said in rule(name):
            yield invalid_value("metadata.name", name, said)
    else:
        yield required("metadata.name", "name or generateName is required")
    namespace = metadata.get("namespace")
    if not resource.namespaced:
        if namespace:
            yield forbidden("metadata.namespace", "not allowed on this type")
    elif namespace:
        for said in names.dns_label(namespace):
            yield invalid_value("metadata.namespace", namespace, said)
    else:
        yield required("metadata.namespace")


def _validate_owners(owners: Sequence[Object]) -> Iterator[Cause]:
    path, controller = "metadata.ownerReferences", ""
    for owner in owners:
        version, kind, name = owner.get("apiVersion") or "", owner.get("kind") or "", owner.get("name") or ""
        if not version.rpartition("/")[2] or version.count("/") > 1:
            yield invalid_value(f"{path}.apiVersion", version, "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                yield invalid_value(f"{path}.{field}", "", "must not be empty")
        if (version, kind) == ("v1", "Event"):
            yield invalid_value(path, _owner_shown(owner), "/v1, Kind=Event is disallowed from being an owner")
        if not owner.get("controller"):
            continue
        if controller:
            detail = (
                'Only one reference can have Controller set to true. Found "true" in references for'
                f" {controller} and {kind}/{name}"
            )
            yield invalid_value(path, [_owner_shown(each) for each in owners], detail)
        controller = controller or f"{kind}/{name}"


def _owner_shown(owner: Object) -> dict[str, Any]:
    shown = {field: owner.get(field) or "" for field in ("apiVersion", "kind", "name", "uid")}
    return shown | {
        field: owner[field] for field in ("controller", "blockOwnerDeletion") if owner.get(field) is not None
    }


def _validate_finalizers(finalizers: list[str], resource: Resource) -> Iterator[Cause]:
    path = "metadata.finalizers"
    for finalizer in finalizers:
        for said in names.qualified_name(finalizer):
            yield invalid_value(path, finalizer, said)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        yield invalid_value(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set")
    if resource.group not in _OF_CORE:
        return
    for index, finalizer in enumerate(finalizers):
        yield from plain_finalizer_errors(finalizer, f"{path}[{index}]")


def repeated_owners(metadata: Object) -> list[str]:
    """The uids of owners that are told again, word for word; the metadata loses the repetitions."""
    owners = metadata.get("ownerReferences") or []
    told: list[Object] = []
    repeated = []
    for owner in owners:
        if owner in told:
            repeated.append(owner.get("uid") or "")
        else:
            told.append(owner)
    if repeated:
        metadata["ownerReferences"] = told
    return repeated


_OF_USERS = ("labels", "annotations", "finalizers", "ownerReferences")
_STAYS = {
    "pods": ("ownerReferences",),
    "deployments": ("labels",),
    **dict.fromkeys(("apiservices", "customresourcedefinitions", "flowschemas", "prioritylevelconfigurations",
                     "resourceclaims", "validatingadmissionpolicies", "volumeattachments"), _OF_USERS),
}  # fmt: skip
"""What each kind's strategy takes from the old object; all others let a status bring such metadata along."""


def stays_with_status(resource: Resource) -> tuple[str, ...]:
    """Which of the fields that clients write may not be changed together with the status."""
    is_users_kind = (resource.group, resource.version, resource.plural) not in BY_PATH
    return _OF_USERS if is_users_kind else _STAYS.get(resource.plural, ())


def keep_on_update(new: Object, old: Object) -> None:
    """What the system set stays: what no client is heard about, and what it left out."""
    for field in ("creationTimestamp", "deletionTimestamp", "generation"):
        if field in old:
            new[field] = old[field]
    for field in ("uid", "deletionGracePeriodSeconds", "namespace"):
        if field in old:
            new.setdefault(field, old[field])
    if "generation" not in old:
        new.pop("generation", None)
    new.pop("selfLink", None)


def validate_update(new: Object, old: Object, resource: Resource) -> list[Cause]:
    """All that is wrong with the metadata of an update."""
    causes = []
    if old.get("deletionTimestamp"):
        added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if added:
            shown = "[]string{" + ", ".join(f'"{each}"' for each in added) + "}"
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            causes.append(forbidden("metadata.finalizers", detail))
    for field in _FIXED:
        if new.get(field) != old.get(field):
            absent = None if field.startswith("deletion") else ""
            causes.append(invalid_value(f"metadata.{field}", new.get(field, absent), IMMUTABLE))
    return [*causes, *_validate_common(new, resource)]
