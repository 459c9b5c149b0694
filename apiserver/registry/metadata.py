"""What every kind's metadata obeys: names, labels, annotations, owners, and what an update may change. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object, Resource
from machinery.api.timestamps import rfc3339

_MOST_ANNOTATION_BYTES = 256 * 1024
_MOST_GENERATED = 63 - 5
RETRIES_OF_GENERATED_NAMES = 8


def _path_segment(name: str) -> list[str]:
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{each}'" for each in ("/", "%") if each in name]


def _anything(name: str) -> list[str]:
    return []


_NAME_RULES: dict[tuple[str, str], Callable[[str], list[str]]] = {
    ("", "namespaces"): names.dns_label,
    ("", "services"): names.dns_label,
    ("", "events"): _path_segment,
    ("events.k8s.io", "events"): _path_segment,
    ("rbac.authorization.k8s.io", "roles"): _path_segment,
    ("rbac.authorization.k8s.io", "rolebindings"): _path_segment,
    ("rbac.authorization.k8s.io", "clusterroles"): _path_segment,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _path_segment,
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): names.dns_subdomain,
    ("networking.k8s.io", "ipaddresses"): _anything,
}


def generated_name(prefix: str) -> str:
    return prefix[:_MOST_GENERATED] + names.random_suffix()


def fill_on_create(metadata: Object, now: datetime) -> None:
    """The system's fields; what a client may not set is taken away."""
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink", "generation"):
        metadata.pop(field, None)
    metadata["uid"] = names.uid()
    metadata["creationTimestamp"] = rfc3339(now)


def validate(metadata: Object, resource: Resource) -> list[Cause]:
    """All that is wrong with a new object's metadata."""
    causes = list(_validate_names(metadata, resource))
    causes += _validate_labels(metadata)
    causes += _validate_annotations(metadata)
    causes += _validate_owners(metadata)
    return causes + _validate_finalizers(metadata)


def _validate_names(metadata: Object, resource: Resource) -> list[Cause]:
    rule = _NAME_RULES.get((resource.group, resource.plural), names.dns_subdomain)
    causes = []
    prefix = metadata.get("generateName")
    if prefix:
        # Whatever ends in a dash becomes valid by the random part.
        shown = prefix[:-1] + "a" if prefix.endswith("-") else prefix
        causes += [_bad("metadata.generateName", prefix, said) for said in rule(shown)]
    name = metadata.get("name")
    if not name:
        message = "Required value: name or generateName is required"
        causes.append(Cause("FieldValueRequired", message, "metadata.name"))
    else:
        causes += [_bad("metadata.name", name, said) for said in rule(name)]
    namespace = metadata.get("namespace")
    if resource.namespaced:
        if not namespace:
            causes.append(Cause("FieldValueRequired", "Required value", "metadata.namespace"))
        else:
            causes += [_bad("metadata.namespace", namespace, said) for said in names.dns_label(namespace)]
    elif namespace:
        causes.append(_forbidden("metadata.namespace", "not allowed on this type"))
    return causes


def _validate_labels(metadata: Object) -> list[Cause]:
    causes = []
    for key, value in sorted((metadata.get("labels") or {}).items()):
        causes += [_bad("metadata.labels", key, said) for said in names.qualified_name(key)]
        causes += [_bad("metadata.labels", value, said) for said in names.label_value(value or "")]
    return causes


def _validate_annotations(metadata: Object) -> list[Cause]:
    annotations = metadata.get("annotations") or {}
    causes = []
    for key in sorted(annotations):
        causes += [_bad("metadata.annotations", key, said) for said in names.qualified_name(key.lower())]
    size = sum(len(key.encode()) + len((value or "").encode()) for key, value in annotations.items())
    if size > _MOST_ANNOTATION_BYTES:
        message = f"Too long: may not be more than {_MOST_ANNOTATION_BYTES} bytes"
        causes.append(Cause("FieldValueTooLong", message, "metadata.annotations"))
    return causes


def _validate_owners(metadata: Object) -> list[Cause]:
    causes, controller = [], ""
    where = "metadata.ownerReferences"
    for owner in metadata.get("ownerReferences") or []:
        version = owner.get("apiVersion") or ""
        if not version:
            causes.append(_bad(f"{where}.apiVersion", version, "version must not be empty"))
        causes += [
            _bad(f"{where}.{field}", "", f"{field} must not be empty")
            for field in ("kind", "name", "uid")
            if not owner.get(field)
        ]
        if owner.get("controller"):
            if controller:
                message = (
                    f'Only one reference can have Controller set to true. Found "true" in references for {controller} '
                    f"and {owner.get('kind')}/{owner.get('name')}"
                )
                causes.append(Cause("FieldValueInvalid", f"Invalid value: {message}", where))
            controller = f"{owner.get('kind')}/{owner.get('name')}"
    return causes


def _validate_finalizers(metadata: Object) -> list[Cause]:
    causes, finalizers = [], metadata.get("finalizers") or []
    for index, finalizer in enumerate(finalizers):
        where = "metadata.finalizers"
        said = names.qualified_name(finalizer)
        causes += [_bad(where, finalizer, each) for each in said]
        if not said and "/" not in finalizer and finalizer not in ("orphan", "foregroundDeletion", "kubernetes"):
            message = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(_bad(f"{where}[{index}]", finalizer, message))
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        message = "finalizer orphan and foregroundDeletion cannot be both set"
        shown = "[" + ",".join(f'"{each}"' for each in finalizers) + "]"
        causes.append(Cause("FieldValueInvalid", f"Invalid value: {shown}: {message}", "metadata.finalizers"))
    return causes


def keep_on_update(new: Object, old: Object) -> None:
    """What the system set stays, whether the client sent it back or left it out."""
    for field in ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if field in old and field not in new:
            new[field] = old[field]
        elif field == "generation" and field in new:
            new.pop(field)
            if field in old:
                new[field] = old[field]
    new.pop("selfLink", None)
    if "namespace" in old:
        new.setdefault("namespace", old["namespace"])


def validate_update(new: Object, old: Object, resource: Resource) -> list[Cause]:
    """All that is wrong with the metadata of an update."""
    causes = []
    for field in ("name", "namespace", "uid", "creationTimestamp"):
        if new.get(field) != old.get(field):
            causes.append(_bad(f"metadata.{field}", new.get(field) or "", "field is immutable"))
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(field) != old.get(field):
            shown = new.get(field)
            text = f'"{shown}"' if isinstance(shown, str) else shown if shown is not None else "null"
            causes.append(Cause("FieldValueInvalid", f"Invalid value: {text}: field is immutable", f"metadata.{field}"))
    if old.get("deletionTimestamp"):
        added = sorted(set(new.get("finalizers") or []) - set(old.get("finalizers") or []))
        if added:
            shown = "[]string{" + ", ".join(f'"{each}"' for each in added) + "}"
            message = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            causes.append(_forbidden("metadata.finalizers", message))
    causes += _validate_labels(new)
    causes += _validate_annotations(new)
    causes += _validate_owners(new)
    return causes + _validate_finalizers(new)


def _bad(field: str, value: str, said: str) -> Cause:
    return Cause("FieldValueInvalid", f'Invalid value: "{value}": {said}', field)


def _forbidden(field: str, said: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {said}", field)
