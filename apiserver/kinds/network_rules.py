"""What upstream refuses in NetworkPolicies and Ingresses (networking.k8s.io/v1 validation)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from apiserver.kinds.field_errors import all_of, forbidden, invalid_value, not_supported, required
from apiserver.kinds.label_rules import label_selector_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICY_TYPES = ("Egress", "Ingress")
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_BAD_IN_PATH = ("//", "/./", "/../", "%2f", "%2F")
_BAD_AT_END = ("/..", "/.")


def policy_errors(policy: Object) -> list[Cause]:
    spec = policy.get("spec") or {}
    errors = list(label_selector_errors(spec.get("podSelector") or {}, "spec.podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or []):
            path = f"spec.{direction}[{index}]"
            for place, port in enumerate(rule.get("ports") or []):
                errors += _policy_port_errors(port, f"{path}.ports[{place}]")
            for place, peer in enumerate(rule.get(peers) or []):
                errors += _peer_errors(peer, f"{path}.{peers}[{place}]")
    types = spec.get("policyTypes") or []
    if len(types) > len(_POLICY_TYPES):
        errors.append(invalid_value("spec.policyTypes", types, "may not specify more than two policyTypes"))
        return errors
    for index, kind in enumerate(types):
        if kind not in _POLICY_TYPES:
            errors.append(not_supported(f"spec.policyTypes[{index}]", kind, _POLICY_TYPES))
    return errors


def _policy_port_errors(port: Object, path: str) -> Iterator[Cause]:
    protocol, number, last = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        yield not_supported(f"{path}.protocol", protocol, _PROTOCOLS)
    yield from _port_number_or_name(number, f"{path}.port")
    if last is None:
        return
    if isinstance(number, int):
        if last < number:
            yield invalid_value(f"{path}.endPort", last, "must be greater than or equal to `port`")
        yield from all_of(f"{path}.endPort", last, names.port_number(last))
    elif number is None:
        yield required(f"{path}.port", "must be specified when `endPort` is specified")
    else:
        yield invalid_value(f"{path}.endPort", last, "may not be specified when `port` is non-numeric")


def _port_number_or_name(port: Any, path: str) -> Iterator[Cause]:
    if isinstance(port, int):
        yield from all_of(path, port, names.port_number(port))
    elif port is not None:
        yield from all_of(path, port, names.port_name(port))


def _peer_errors(peer: Object, path: str) -> Iterator[Cause]:
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    if not given:
        yield required(path, "must specify a peer")
    elif "ipBlock" in given and len(given) > 1:
        yield forbidden(path, "may not specify both ipBlock and another peer")
    for field in given:
        if field == "ipBlock":
            yield from _block_errors(peer[field], f"{path}.ipBlock")
        else:
            yield from label_selector_errors(peer[field], f"{path}.{field}")


def _block_errors(block: Object, path: str) -> Iterator[Cause]:
    cidr = block.get("cidr") or ""
    if not cidr:
        yield required(f"{path}.cidr")
        return
    network = _network(cidr)
    if network is None:
        yield invalid_value(f"{path}.cidr", cidr, _BAD_CIDR)
    for index, text in enumerate(block.get("except") or []):
        inner, where = _network(text), f"{path}.except[{index}]"
        if inner is None:
            yield invalid_value(where, text, _BAD_CIDR)
        elif network is not None and not _is_strictly_in(inner, network):
            yield invalid_value(where, text, "must be a strict subset of `cidr`")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _is_strictly_in(inner: Any, outer: Any) -> bool:
    return bool(inner.version == outer.version and inner.prefixlen > outer.prefixlen and inner.subnet_of(outer))


def ingress_errors(ingress: Object) -> list[Cause]:
    spec = ingress.get("spec") or {}
    backend, rules = spec.get("defaultBackend"), spec.get("rules") or []
    errors: list[Cause] = []
    if not rules and backend is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        errors.append(invalid_value("spec", spec.get("rules"), detail))
    for index, entry in enumerate(spec.get("tls") or []):
        for place, host in enumerate(entry.get("hosts") or []):
            errors += _host_errors(host, f"spec.tls[{index}].hosts[{place}]")
    if backend is not None:
        errors += _backend_errors(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        errors += _rule_errors(rule, f"spec.rules[{index}]")
    if spec.get("ingressClassName") is not None:
        errors += all_of(
            "spec.ingressClassName", spec["ingressClassName"], names.dns_subdomain(spec["ingressClassName"])
        )
    return errors


def _rule_errors(rule: Object, path: str) -> Iterator[Cause]:
    host, http = rule.get("host") or "", rule.get("http")
    if host:
        if _is_address(host):
            yield invalid_value(f"{path}.host", host, "must be a DNS name, not an IP address")
        yield from _host_errors(host, f"{path}.host")
    if http is None:
        return
    if not http.get("paths"):
        yield required(f"{path}.http.paths")
    for index, entry in enumerate(http.get("paths") or []):
        yield from _path_errors(entry, f"{path}.http.paths[{index}]")


def _host_errors(host: str, path: str) -> Iterator[Cause]:
    yield from all_of(path, host, names.wildcard_subdomain(host) if "*" in host else names.dns_subdomain(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _path_errors(entry: Object, path: str) -> Iterator[Cause]:
    kind, text = entry.get("pathType"), entry.get("path") or ""
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
    elif kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            yield invalid_value(f"{path}.path", text, "must be an absolute path")
        for bad in _BAD_IN_PATH if text else ():
            if bad in text:
                yield invalid_value(f"{path}.path", text, f"must not contain '{bad}'")
        for bad in _BAD_AT_END if text else ():
            if text.endswith(bad):
                yield invalid_value(f"{path}.path", text, f"cannot end with '{bad}'")
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            yield invalid_value(f"{path}.path", text, "must be an absolute path")
    else:
        yield not_supported(f"{path}.pathType", kind, _PATH_TYPES)
    yield from _backend_errors(entry.get("backend") or {}, f"{path}.backend")


def _backend_errors(backend: Object, path: str) -> Iterator[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield invalid_value(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        for field in ("kind", "name"):
            if not resource.get(field):
                yield required(f"{path}.resource.{field}")
    elif service is None:
        yield required(path, "port name or number is required")
    else:
        yield from _service_errors(service, path)


def _service_errors(service: Object, path: str) -> Iterator[Cause]:
    name, port = service.get("name") or "", service.get("port") or {}
    if not name:
        yield required(f"{path}.service.name")
    else:
        yield from all_of(f"{path}.service.name", name, names.dns1035_label(name))
    if port.get("name") and port.get("number"):
        yield invalid_value(path, "", "cannot set both port name & port number")
    elif port.get("name"):
        yield from all_of(f"{path}.service.port.name", port["name"], names.port_name(port["name"]))
    elif port.get("number"):
        yield from all_of(f"{path}.service.port.number", port["number"], names.port_number(port["number"]))
    else:
        yield required(path, "port name or number is required")
