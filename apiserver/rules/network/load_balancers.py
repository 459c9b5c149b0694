"""What upstream refuses in the status of a Service or an Ingress: where its load balancers are."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, forbidden, invalid_value, not_supported, required
from apiserver.rules.network.addresses import ip_errors, ip_warnings, parse_ip
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_PATH = "status.loadBalancer.ingress"
_MODES = ("Proxy", "VIP")


def service_status_warnings(service: Object) -> list[str]:
    addresses = [point.get("ip") or "" for point in _points(service)]
    return [said for index, ip in enumerate(addresses) for said in ip_warnings(ip, f"{_PATH}[{index}]")]


def service_status_errors(new: Object, old: Object) -> list[Cause]:
    points = _points(new)
    if points and (new.get("spec") or {}).get("type") != "LoadBalancer":
        return [forbidden(_PATH, "may only be used when `spec.type` is 'LoadBalancer'")]
    known = [point.get("ip") or "" for point in _points(old)]
    errors: list[Cause] = []
    for index, point in enumerate(points):
        path, address, mode = f"{_PATH}[{index}]", point.get("ip"), point.get("ipMode")
        if address:
            errors += ip_errors(address, f"{path}.ip", known)
        if mode is None and address:
            errors.append(required(f"{path}.ipMode", "must be specified when `ip` is set"))
        elif mode is not None and not address:
            errors.append(forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set"))
        elif mode is not None and mode not in _MODES:
            errors.append(not_supported(f"{path}.ipMode", mode, _MODES))
        errors += _host_errors(point.get("hostname") or "", f"{path}.hostname")
    return errors


def ingress_status_errors(new: Object, old: Object) -> list[Cause]:
    known = [point.get("ip") or "" for point in _points(old)]
    errors: list[Cause] = []
    for index, point in enumerate(_points(new)):
        if point.get("ip"):
            errors += ip_errors(point["ip"], f"{_PATH}[{index}].ip", known)
        errors += _host_errors(point.get("hostname") or "", f"{_PATH}[{index}].hostname")
    return errors


def _points(obj: Object) -> list[Object]:
    return ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []


def _host_errors(name: str, path: str) -> Iterator[Cause]:
    if not name:
        return
    yield from all_of(path, name, names.dns_subdomain(name))
    if parse_ip(name) is not None:
        yield invalid_value(path, name, "must be a DNS name, not an IP address")
