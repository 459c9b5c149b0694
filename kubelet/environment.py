"""A container's environment: services, `envFrom`, `env`; of two alike the later one wins. Reads cache and files."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path

from kubelet import podspec
from kubelet.fieldrefs import ConfigurationError, field_value, resource_value
from machinery.api.resource import Object, Resource
from machinery.api.resources import CONFIG_MAPS, SECRETS, SERVICES
from machinery.client.cache import Cache
from machinery.ip_families import host_port
from machinery.linux.rooted import read_text
from machinery.structs import Struct, field

_ASSIGNMENT = re.compile(r"^[ \t]*(?P<key>[^#=\s][^=\n]*?)=(?:'(?P<quoted>[^']*)'|(?P<plain>[^#\n]*))", re.MULTILINE)
_REFERENCE = re.compile(r"\$(\$|\([^)]*\))?")


class Surroundings(Struct, frozen=True):
    """What of the node and the sandbox a container's environment may name."""

    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()
    allocatable: Object = field(default_factory=dict)
    volumes: Mapping[str, Path] = field(default_factory=dict)
    """Of the pod, by name: an init container may have left a file of variables in one."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` by its value, an unknown one left as it is; `$$` is a plain dollar sign."""

    def replace(match: re.Match[str]) -> str:
        tail = match[1]
        if tail is None:
            return "$"
        if tail == "$":
            return "$"
        return values.get(tail[1:-1], match[0])

    return _REFERENCE.sub(replace, text)


def references(text: str) -> list[str]:
    """The names that `expand` looks up."""
    return [tail[1:-1] for tail in _REFERENCE.findall(text) if len(tail) > 1]


def environment(pod: Object, spec: Object, cache: Cache, around: Surroundings) -> dict[str, str]:
    """Name -> value; raises ConfigurationError where a source that is not optional lacks."""
    services = _service_variables(pod, cache)
    found: dict[str, str] = {}
    for source in spec.get("envFrom") or ():
        for name, value in _from_source(pod, source, cache).items():
            found[source.get("prefix", "") + name] = value
    known = {**services, **found}
    for entry in spec.get("env") or ():
        told = _value(pod, spec, entry, cache, around, known)
        if told is not None:
            found[entry["name"]] = known[entry["name"]] = told
    return {**services, **found}


def _value(
    pod: Object, spec: Object, entry: Object, cache: Cache, around: Surroundings, known: Mapping[str, str]
) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return expand(entry.get("value", ""), known)
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"], pod_ips=around.pod_ips, host_ips=around.host_ips)
    if "resourceFieldRef" in source:
        return resource_value(pod, spec["name"], source["resourceFieldRef"], around.allocatable)
    if "fileKeyRef" in source:
        return _variable_of_file(source["fileKeyRef"], around.volumes)
    for key, resource, kind in (("configMapKeyRef", CONFIG_MAPS, "ConfigMap"), ("secretKeyRef", SECRETS, "Secret")):
        if key in source:
            return _key_of(pod, source[key], resource, kind, cache)
    return ""


def _variable_of_file(reference: Object, volumes: Mapping[str, Path]) -> str | None:
    """The variable in a file of `KEY=value` lines (KEP-3721); raises ConfigurationError where it must be there."""
    volume, path, key = volumes.get(reference["volumeName"]), reference["path"], reference["key"]
    if volume is None:
        raise ConfigurationError(f'cannot find the volume "{reference["volumeName"]}" referenced by FileKeyRef')
    try:
        found = variables_of(read_text(volume, path)).get(key)
    except OSError as error:
        if reference.get("optional") and isinstance(error, FileNotFoundError):
            return None
        raise ConfigurationError("couldn't parse env file") from error
    if not found and not reference.get("optional"):
        raise ConfigurationError(f'environment variable key "{key}" not found in file "{volume / path}"')
    return found or None


def variables_of(text: str) -> dict[str, str]:
    """The first value of each key; a value in single quotes may hold `#` and line breaks, another ends at a `#`."""
    found: dict[str, str] = {}
    for match in _ASSIGNMENT.finditer(text):
        quoted, plain = match["quoted"], match["plain"]
        found.setdefault(match["key"], quoted if quoted is not None else plain.rstrip())
    return found


def _key_of(pod: Object, reference: Object, resource: Resource, kind: str, cache: Cache) -> str | None:
    optional, namespace = bool(reference.get("optional")), podspec.namespace(pod)
    found = cache.get(resource, namespace, reference.get("name", ""))
    if found is None:
        if optional:
            return None
        raise ConfigurationError(f'{kind.lower()} "{reference.get("name", "")}" not found')
    values = data_of(found)
    if reference["key"] not in values:
        if optional:
            return None
        raise ConfigurationError(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")
    return values[reference["key"]].decode(errors="replace")


def data_of(obj: Object) -> dict[str, bytes]:
    """The bytes of a ConfigMap's or a Secret's keys."""
    if obj.get("kind") == "Secret" or "type" in obj:
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    found = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    return found | {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}


def _from_source(pod: Object, source: Object, cache: Cache) -> dict[str, str]:
    for key, resource, kind in (("configMapRef", CONFIG_MAPS, "configmap"), ("secretRef", SECRETS, "secret")):
        if key not in source:
            continue
        reference = source[key]
        found = cache.get(resource, podspec.namespace(pod), reference.get("name", ""))
        if found is not None:
            return {name: value.decode(errors="replace") for name, value in data_of(found).items()}
        if not reference.get("optional"):
            raise ConfigurationError(f'{kind} "{reference.get("name", "")}" not found')
    return {}


def _service_variables(pod: Object, cache: Cache) -> dict[str, str]:
    """The API server's own service always; the namespace's others where `enableServiceLinks` asks for them."""
    links = pod["spec"].get("enableServiceLinks", True)
    services: dict[str, Object | None] = {"kubernetes": cache.get(SERVICES, "default", "kubernetes")}
    if links:
        for service in cache.list(SERVICES, podspec.namespace(pod)):
            services[service["metadata"]["name"]] = service
    found: dict[str, str] = {}
    for name, known in sorted(services.items()):
        spec = known["spec"] if known is not None else {}
        address = spec.get("clusterIP", "")
        if address and address != "None":
            found |= _variables_of(name, address, spec.get("ports") or [])
    return found


def _variables_of(name: str, address: str, ports: list[Object]) -> dict[str, str]:
    prefix = name.upper().replace("-", "_")
    if not ports:
        return {}
    found = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{host_port(address, port['port'])}"
        if index == 0:
            found[f"{prefix}_PORT"] = url
        link = f"{prefix}_PORT_{port['port']}_{protocol}"
        found[link] = url
        found[f"{link}_PROTO"] = protocol.lower()
        found[f"{link}_PORT"] = str(port["port"])
        found[f"{link}_ADDR"] = address
    return found
