"""What upstream refuses in a container's environment, and in what of a pod variables and files tell (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, invalid_value, missing, not_supported, required
from apiserver.rules.pods.path_rules import backstep_errors
from apiserver.rules.pods.surroundings import Surroundings
from machinery.api import names, quantity
from machinery.api.errors import Cause
from machinery.api.resource import Object

_IN_VARIABLES = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
"""What of a pod its environment can tell, beside labels and annotations by their keys; sorted, as errors list it."""
IN_FILES = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_KNOWN = {
    *_IN_VARIABLES, *IN_FILES, "spec.host", "spec.restartPolicy", "spec.schedulerName", "status.phase",
}  # fmt: skip
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_BYTE_UNITS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVISORS = {
    "cpu": (("1m", "1"), "1m and 1", "cpu"),
    "memory": (_BYTE_UNITS, ", ".join(_BYTE_UNITS), "memory"),
    "ephemeral-storage": (_BYTE_UNITS, ", ".join(_BYTE_UNITS), "local ephemeral storage"),
    "hugepages": (_BYTE_UNITS, ", ".join(_BYTE_UNITS), "hugepages"),
}
"""Units in which a resource may be told: the units, how an error lists them, what it calls the resource."""
_ONE_SOURCE = "may not have more than one field specified at a time"


def environment_errors(variables: list[Object], path: str, around: Surroundings) -> Iterator[Cause]:
    for index, variable in enumerate(variables):
        name, source = variable.get("name") or "", variable.get("valueFrom")
        complaints = names.environment_variable_name(name)
        if source is None and not complaints:
            continue
        where = f"{path}[{index}]"
        yield from all_of(f"{where}.name", name, complaints) if name else [required(f"{where}.name")]
        if source is not None:
            yield from _source_errors(source, f"{where}.valueFrom", around, has_value=bool(variable.get("value")))


def _source_errors(source: Object, path: str, around: Surroundings, *, has_value: bool) -> Iterator[Cause]:
    chosen = [(kind, source[kind]) for kind in _SOURCES if source.get(kind) is not None]
    for kind, reference in chosen:
        yield from _SOURCES[kind](reference, f"{path}.{kind}")
        if kind == "fileKeyRef":
            around.file_variables.append((f"{path}.{kind}.volumeName", reference.get("volumeName") or ""))
    if not chosen:
        listed = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield invalid_value(path, "", f"must specify one of: {listed}")
    elif has_value:
        yield invalid_value(path, "", "may not be specified when `value` is not empty")
    elif len(chosen) > 1:
        yield invalid_value(path, "", _ONE_SOURCE)


def _variable_field_errors(reference: Object, path: str) -> Iterator[Cause]:
    return pod_field_errors(reference, path, _IN_VARIABLES)


def pod_field_errors(reference: Object, path: str, told: tuple[str, ...]) -> Iterator[Cause]:
    """Wrong references to a pod's field, of which those in `told` and keys of labels and annotations can be told."""
    version, label = reference.get("apiVersion") or "", reference.get("fieldPath") or ""
    if not version or not label:
        yield required(f"{path}.fieldPath" if version else f"{path}.apiVersion")
        return
    base, key = _split(label)
    if version != "v1":
        complaint = f"unsupported pod version: {version}"
    elif key is not None and base not in ("metadata.annotations", "metadata.labels"):
        complaint = f"field label does not support subscript: {label}"
    elif key is None and label not in _KNOWN:
        complaint = f"field label not supported: {label}"
    else:
        yield from _told_errors(base, key, path, told)
        return
    yield invalid_value(f"{path}.fieldPath", label, f"error converting fieldPath: {complaint}")


def _told_errors(base: str, key: str | None, path: str, told: tuple[str, ...]) -> Iterator[Cause]:
    if key is not None:
        shown = key.lower() if base == "metadata.annotations" else key
        yield from all_of(path, shown, names.qualified_name(shown))
        return
    # Clients of old still say `spec.host`.
    label = "spec.nodeName" if base == "spec.host" else base
    if label not in told:
        yield not_supported(f"{path}.fieldPath", label, told)


def _split(label: str) -> tuple[str, str | None]:
    """`metadata.labels['a']` as its field and key; the key is None where there is no subscript."""
    base, bracket, rest = label.partition("['")
    if base and bracket and rest.endswith("']"):
        return base, rest[:-2]
    return label, None


def _variable_resource_errors(reference: Object, path: str) -> Iterator[Cause]:
    return resource_field_errors(reference, path, needs_container=False)


def resource_field_errors(reference: Object, path: str, *, needs_container: bool) -> Iterator[Cause]:
    resource = reference.get("resource") or ""
    is_of_pages = resource.startswith(("limits.hugepages-", "requests.hugepages-"))
    if needs_container and not reference.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in _RESOURCES and not is_of_pages:
        yield not_supported(f"{path}.resource", resource, _RESOURCES)
    divisor = quantity.of(reference.get("divisor") or "0")
    units, listed, called = _DIVISORS.get("hugepages" if is_of_pages else resource.partition(".")[2], ((), "", ""))
    if divisor and units and str(divisor) not in units:
        detail = f"only divisor's values {listed} are supported with the {called} resource"
        yield invalid_value(f"{path}.divisor", resource, detail)


def _key_errors(reference: Object, path: str) -> Iterator[Cause]:
    name, key = reference.get("name") or "", reference.get("key") or ""
    yield from all_of(f"{path}.name", name, names.dns_subdomain(name))
    yield from all_of(f"{path}.key", key, names.config_key(key)) if key else [required(f"{path}.key")]


def _file_key_errors(reference: Object, path: str) -> Iterator[Cause]:
    key, volume, file = (reference.get(field) or "" for field in ("key", "volumeName", "path"))
    yield from all_of(f"{path}.key", key, names.environment_variable_name(key)) if key else [required(f"{path}.key")]
    where = f"{path}.volumeName"
    yield from all_of(where, volume, names.dns_label(volume)) if volume else [required(where)]
    yield from backstep_errors(file, f"{path}.path") if file else [required(f"{path}.path")]


_SOURCES = {
    "fieldRef": _variable_field_errors,
    "resourceFieldRef": _variable_resource_errors,
    "configMapKeyRef": _key_errors,
    "secretKeyRef": _key_errors,
    "fileKeyRef": _file_key_errors,
}


def environment_source_errors(sources: list[Object], path: str) -> Iterator[Cause]:
    """What is wrong with `envFrom`; how many each names is told at the list's own path."""
    for index, source in enumerate(sources):
        where, prefix = f"{path}[{index}]", source.get("prefix") or ""
        if prefix:
            yield from all_of(f"{where}.prefix", prefix, names.environment_variable_name(prefix))
        chosen = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in chosen:
            name, at = source[kind].get("name") or "", f"{where}.{kind}.name"
            # Upstream judges it as one to which something may yet be added.
            yield from all_of(at, name, names.dns_subdomain(names.extended(name))) if name else [required(at)]
        if not chosen:
            yield invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(chosen) > 1:
            yield invalid_value(path, "", _ONE_SOURCE)


def file_variable_errors(around: Surroundings, volumes: list[Object]) -> Iterator[Cause]:
    """Files of variables lie in emptyDir volumes alone."""
    declared = {volume.get("name") or "": volume for volume in volumes}
    for path, name in around.file_variables:
        if name not in declared:
            yield missing(path, name)
        elif declared[name].get("emptyDir") is None:
            yield invalid_value(path, name, "referenced volume must be of type emptyDir")
