"""What upstream refuses in Ingresses, and warns of (networking.k8s.io/v1 validation)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, invalid_value, not_supported, required
from apiserver.rules.network.addresses import parse_ip
from apiserver.rules.reference_rules import group_errors, segment_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_IN_PATH = ("//", "/./", "/../", "%2f", "%2F")
_BAD_AT_END = ("/..", "/.")
_CLASS = "kubernetes.io/ingress.class"


def ingress_errors(ingress: Object) -> list[Cause]:
    errors = _spec_errors(ingress.get("spec") or {})
    named, annotation = (ingress.get("spec") or {}).get("ingressClassName"), _class_annotation(ingress)
    if named is not None and annotation not in (None, named):
        detail = "must match `ingressClassName` when both are specified"
        errors.append(invalid_value(f"annotations.{_CLASS}", annotation, detail))
    return errors


def ingress_update_errors(new: Object, old: Object) -> list[Cause]:
    """What was let in before the rules were told stays."""
    before = old.get("spec") or {}
    return _spec_errors(
        new.get("spec") or {},
        any_secret=any(_secret_complaints(entry) for entry in before.get("tls") or ()),
        any_wildcard=any(
            "*" in (rule.get("host") or "") and [*_http_errors(rule, "")] for rule in before.get("rules") or ()
        ),
    )


def ingress_warnings(ingress: Object) -> list[str]:
    if _class_annotation(ingress) is None or (ingress.get("spec") or {}).get("ingressClassName") is not None:
        return []
    return [f"annotation \"{_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"]


def _class_annotation(ingress: Object) -> str | None:
    value: str | None = (ingress["metadata"].get("annotations") or {}).get(_CLASS)
    return value


def _spec_errors(spec: Object, *, any_secret: bool = False, any_wildcard: bool = False) -> list[Cause]:
    backend, rules, name = spec.get("defaultBackend"), spec.get("rules"), spec.get("ingressClassName")
    errors: list[Cause] = []
    if not rules and backend is None:
        errors.append(invalid_value("spec", rules, "either `defaultBackend` or `rules` must be specified"))
    if backend is not None:
        errors += _backend_errors(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules or ()):
        errors += _rule_errors(rule, f"spec.rules[{index}]", any_wildcard=any_wildcard)
    for index, entry in enumerate(spec.get("tls") or ()):
        for place, host in enumerate(entry.get("hosts") or ()):
            errors += _host_errors(host, f"spec.tls[{index}].hosts[{place}]")
        if not any_secret:
            errors += all_of(f"spec.tls[{index}].secretName", entry.get("secretName"), _secret_complaints(entry))
    if name is not None:
        errors += all_of("spec.ingressClassName", name, names.dns_subdomain(name))
    return errors


def _rule_errors(rule: Object, path: str, *, any_wildcard: bool) -> Iterator[Cause]:
    host = rule.get("host") or ""
    if host:
        if parse_ip(host) is not None:
            yield invalid_value(f"{path}.host", host, "must be a DNS name, not an IP address")
        yield from _host_errors(host, f"{path}.host")
    if not (any_wildcard and "*" in host):
        yield from _http_errors(rule, path)


def _secret_complaints(entry: Object) -> list[str]:
    name = entry.get("secretName")
    return names.dns_subdomain(name) if name else []


def _host_errors(host: str, path: str) -> Iterator[Cause]:
    yield from all_of(path, host, names.wildcard_subdomain(host) if "*" in host else names.dns_subdomain(host))


def _http_errors(rule: Object, path: str) -> Iterator[Cause]:
    if (http := rule.get("http")) is None:
        return
    if not http.get("paths"):
        yield required(f"{path}.http.paths")
    for index, entry in enumerate(http.get("paths") or ()):
        yield from _path_errors(entry, f"{path}.http.paths[{index}]")


def _path_errors(entry: Object, path: str) -> Iterator[Cause]:
    kind, text = entry.get("pathType"), entry.get("path") or ""
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
        return
    if kind not in _PATH_TYPES:
        yield not_supported(f"{path}.pathType", kind, _PATH_TYPES)
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        yield invalid_value(f"{path}.path", text, "must be an absolute path")
    if text and kind in ("Exact", "Prefix"):
        for bad in _BAD_IN_PATH:
            if bad in text:
                yield invalid_value(f"{path}.path", text, f"must not contain '{bad}'")
        for bad in _BAD_AT_END:
            if text.endswith(bad):
                yield invalid_value(f"{path}.path", text, f"cannot end with '{bad}'")
    yield from _backend_errors(entry.get("backend") or {}, f"{path}.backend")


def _backend_errors(backend: Object, path: str) -> Iterator[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield invalid_value(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from group_errors(resource, f"{path}.resource")
        yield from segment_errors(resource, f"{path}.resource", "kind", "name")
    elif service is None:
        yield invalid_value(path, "", "resource or service backend is required")
    else:
        yield from _service_errors(service, path)


def _service_errors(service: Object, path: str) -> Iterator[Cause]:
    name, port = service.get("name") or "", service.get("port") or {}
    if name:
        yield from all_of(f"{path}.service.name", name, names.dns_label(name))
    else:
        yield required(f"{path}.service.name")
    if port.get("name") and port.get("number"):
        yield invalid_value(path, "", "cannot set both port name & port number")
    elif port.get("name"):
        yield from all_of(f"{path}.service.port.name", port["name"], names.port_name(port["name"]))
    elif port.get("number"):
        yield from all_of(f"{path}.service.port.number", port["number"], names.port_number(port["number"]))
    else:
        yield required(path, "port name or number is required")
