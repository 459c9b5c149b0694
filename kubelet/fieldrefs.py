"""The downward API: what a pod may know of itself, by environment or by file. Pure."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

from kubelet import podspec
from kubelet.resources import quantity
from machinery.api.resource import Object

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


class ConfigurationError(Exception):
    """The pod asks for something that can't be given; the message is the event's."""


def field_value(pod: Object, path: str, *, pod_ips: tuple[str, ...] = (), host_ips: tuple[str, ...] = ()) -> str:
    """The text that `fieldRef.fieldPath` stands for."""
    metadata, spec = pod["metadata"], pod["spec"]
    plain = {
        "metadata.name": metadata.get("name", ""),
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": host_ips[0] if host_ips else "",
        "status.hostIPs": ",".join(host_ips),
        "status.podIP": pod_ips[0] if pod_ips else "",
        "status.podIPs": ",".join(pod_ips),
    }
    if path in plain:
        return str(plain[path])
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        return str((metadata.get(subscript[1]) or {}).get(subscript[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = metadata.get(path.removeprefix("metadata.")) or {}
        return "\n".join(f"{key}={quoted(value)}" for key, value in sorted(pairs.items()))
    raise ConfigurationError(f"unsupported fieldPath: {path}")


def quoted(text: str) -> str:
    """As Go's `%q`: files of it are read by programs that unquote it so."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


def resource_value(pod: Object, container_name: str, reference: Object, allocatable: Object) -> str:
    """The number that `resourceFieldRef` stands for, in units of its divisor, rounded up."""
    name = reference.get("containerName") or container_name
    spec = podspec.container(pod, name)
    if spec is None:
        raise ConfigurationError(f"container {name} not found")
    kind, _, resource = str(reference["resource"]).partition(".")
    resources = spec.get("resources") or {}
    # Without a limit the node's own size is the limit, as an application sizes its heap by it.
    default = allocatable.get(resource, "0") if kind == "limits" else "0"
    value = (resources.get(kind) or {}).get(resource)
    if value is None and kind == "requests":
        value = (resources.get("limits") or {}).get(resource)
    divisor = quantity(reference.get("divisor") or "0") or Decimal(1)
    return str(int((quantity(value or default) / divisor).to_integral_value(rounding=ROUND_CEILING)))
