"""What upstream refuses in a container: names, images, ports, environment, mounts, resources, probes, security."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from apiserver.kinds.field_errors import (
    all_of,
    duplicate,
    forbidden,
    invalid_value,
    missing,
    not_negative,
    not_supported,
    one_of,
    required,
)
from machinery.api import names, quantity
from machinery.api.errors import Cause
from machinery.api.resource import Object

_PULL = ("Always", "IfNotPresent", "Never")
_SECURITY_FIELDS = (
    "Capabilities", "Privileged", "SELinuxOptions", "WindowsOptions", "RunAsUser", "RunAsGroup", "RunAsNonRoot",
    "ReadOnlyRootFilesystem", "AllowPrivilegeEscalation", "ProcMount", "SeccompProfile", "AppArmorProfile",
)  # fmt: skip


def container_errors(
    container: Object, path: str, volumes: Mapping[str, Object], spec: Object, *, is_init: bool
) -> Iterator[Cause]:
    name = container.get("name") or ""
    if not name:
        yield required(f"{path}.name")
    else:
        yield from all_of(f"{path}.name", name, names.dns_label(name))
    image = container.get("image") or ""
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL)
    policy = container.get("terminationMessagePolicy")
    yield from one_of(f"{path}.terminationMessagePolicy", policy, ("FallbackToLogsOnError", "File"))
    yield from _port_errors(container.get("ports") or [], f"{path}.ports", host=bool(spec.get("hostNetwork")))
    yield from _environment_errors(container, path)
    yield from _mount_errors(container.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    yield from resource_errors(container.get("resources") or {}, f"{path}.resources")
    yield from _probes(container, path, is_init=is_init)
    yield from _security_errors(container.get("securityContext"), f"{path}.securityContext")


def _port_errors(ports: list[Object], path: str, *, host: bool) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where, name = f"{path}[{index}]", port.get("name") or ""
        if name:
            yield from all_of(f"{where}.name", name, names.port_name(name))
            if name in seen:
                yield duplicate(f"{where}.name", name)
            seen.add(name)
        number = port.get("containerPort") or 0
        if not number:
            yield required(f"{where}.containerPort")
        else:
            yield from all_of(f"{where}.containerPort", number, names.port_number(number))
        host_port = port.get("hostPort") or 0
        if host_port:
            yield from all_of(f"{where}.hostPort", host_port, names.port_number(host_port))
            if host and host_port != number:
                yield invalid_value(
                    f"{where}.hostPort", host_port, "must match `containerPort` when `hostNetwork` is true"
                )
        yield from one_of(f"{where}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))


def _environment_errors(container: Object, path: str) -> Iterator[Cause]:
    for index, entry in enumerate(container.get("env") or []):
        name, source = entry.get("name") or "", entry.get("valueFrom")
        complaints = names.environment_variable_name(name)
        if source is None and not complaints:
            continue
        where = f"{path}.env[{index}]"
        if not name:
            yield required(f"{where}.name")
        else:
            yield from all_of(f"{where}.name", name, complaints)
        if source is None:
            continue
        chosen = [key for key, value in source.items() if value is not None]
        if not chosen:
            detail = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            )
            yield invalid_value(f"{where}.valueFrom", "", detail)
        elif len(chosen) > 1:
            yield invalid_value(f"{where}.valueFrom", "", "may not have more than one field specified at a time")
        if entry.get("value"):
            yield invalid_value(f"{where}.valueFrom", "", "may not be specified when `value` is not empty")
        yield from _field_errors(source.get("fieldRef"), f"{where}.valueFrom.fieldRef.fieldPath")
        for key in ("configMapKeyRef", "secretKeyRef"):
            if source.get(key) is not None and not source[key].get("key"):
                yield required(f"{where}.valueFrom.{key}.key")


_POD_FIELDS = frozenset({
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
})  # fmt: skip
"""What of a pod its environment can tell; labels and annotations by their keys as well."""
_KNOWN_BUT_NOT_TOLD = frozenset({
    "metadata.labels", "metadata.annotations", "spec.restartPolicy", "spec.schedulerName", "status.phase",
})  # fmt: skip
_KEYED = re.compile(r"metadata\.(labels|annotations)\['[^']*'\]")


def _field_errors(field: Object | None, path: str) -> Iterator[Cause]:
    if field is None:
        return
    label = field.get("fieldPath") or ""
    if not label:
        yield required(path)
    elif label not in _POD_FIELDS and not _KEYED.fullmatch(label):
        if label in _KNOWN_BUT_NOT_TOLD:
            yield not_supported(path, label, sorted(_POD_FIELDS))
        else:
            yield invalid_value(path, label, f"error converting fieldPath: field label not supported: {label}")


def _mount_errors(mounts: list[Object], path: str, volumes: Mapping[str, Object]) -> Iterator[Cause]:
    points: set[str] = set()
    for index, mount in enumerate(mounts):
        where, name, point = f"{path}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            yield required(f"{where}.name")
        elif name not in volumes:
            yield missing(f"{where}.name", name)
        if not point:
            yield required(f"{where}.mountPath")
        elif point in points:
            yield invalid_value(f"{where}.mountPath", point, "must be unique")
        points.add(point)
        sub = mount.get("subPath") or ""
        if sub.startswith("/"):
            yield invalid_value(f"{where}.subPath", sub, "must be a relative path")
        elif ".." in sub.split("/"):
            yield invalid_value(f"{where}.subPath", sub, "must not contain '..'")


def resource_errors(resources: Object, path: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, quantities in (("limits", limits), ("requests", requests)):
        for name, value in quantities.items():
            where = f"{path}.{part}[{name}]"
            yield from all_of(f"{path}.{part}", name, names.qualified_name(name))
            if "/" not in name and not _is_standard(name):
                yield invalid_value(f"{path}.{part}", name, "must be a standard resource type or fully qualified")
                yield invalid_value(f"{path}.{part}", name, "must be a standard resource for containers")
            if quantity.parse(str(value)).nanos < 0:
                yield invalid_value(where, str(value), "must be greater than or equal to 0")
    for name, value in requests.items():
        if name in limits and quantity.parse(str(value)).nanos > quantity.parse(str(limits[name])).nanos:
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid_value(f"{path}.requests", str(value), detail)


def _is_standard(name: str) -> bool:
    return name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-")


def _probes(container: Object, path: str, *, is_init: bool) -> Iterator[Cause]:
    sidecar = container.get("restartPolicy") == "Always"
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if probe is None:
            continue
        if is_init and not sidecar:
            yield forbidden(f"{path}.{kind}", "may not be set for init containers without restartPolicy=Always")
            continue
        yield from _probe_errors(probe, f"{path}.{kind}", kind)
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        if lifecycle.get(hook) is not None:
            yield from _handler_errors(
                lifecycle[hook], f"{path}.lifecycle.{hook}", ("exec", "httpGet", "tcpSocket", "sleep")
            )


def _probe_errors(probe: Object, path: str, kind: str) -> Iterator[Cause]:
    yield from _handler_errors(probe, path, ("exec", "httpGet", "tcpSocket", "grpc"))
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        yield from not_negative(f"{path}.{field}", probe.get(field))
    if kind != "readinessProbe" and probe.get("successThreshold") not in (None, 1):
        yield invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _handler_errors(handler: Object, path: str, kinds: tuple[str, ...]) -> Iterator[Cause]:
    chosen = [kind for kind in kinds if handler.get(kind) is not None]
    if not chosen:
        yield required(path, "must specify a handler type")
    for extra in chosen[1:]:
        yield forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    if "exec" in chosen and not handler["exec"].get("command"):
        yield required(f"{path}.exec.command")
    for kind in ("httpGet", "tcpSocket"):
        if kind in chosen:
            yield from target_port_errors(handler[kind].get("port"), f"{path}.{kind}.port")
    if "httpGet" in chosen:
        scheme = handler["httpGet"].get("scheme")
        if scheme not in (None, "", "HTTP", "HTTPS"):
            yield not_supported(f"{path}.httpGet.scheme", scheme, ("HTTP", "HTTPS"))


def target_port_errors(port: Any, path: str) -> Iterator[Cause]:
    """An IntOrString port: a number in range, or a port's name."""
    if isinstance(port, str):
        yield from all_of(path, port, names.port_name(port))
    else:
        yield from all_of(path, port or 0, names.port_number(port or 0))


def _security_errors(context: Object | None, path: str) -> Iterator[Cause]:
    if context is None:
        return
    for field in ("runAsUser", "runAsGroup"):
        value = context.get(field)
        if value is not None and not 0 <= value <= 2147483647:
            yield invalid_value(f"{path}.{field}", value, "must be between 0 and 2147483647, inclusive")
    if context.get("allowPrivilegeEscalation") is False:
        shown = {name: context.get(name[:1].lower() + name[1:]) for name in _SECURITY_FIELDS}
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield invalid_value(path, shown, detail)
        if "SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or []):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield invalid_value(path, shown, detail)
