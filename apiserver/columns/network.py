"""Cells of services, endpoint slices and networking.k8s.io."""

from __future__ import annotations

from datetime import datetime

from apiserver.columns.cell import NONE, UNSET, Cell, at, joined, label_selector, labels
from machinery.api.resource import Object


def _external(service: Object, now: datetime) -> str:
    spec = service.get("spec") or {}
    kind, external = spec.get("type"), spec.get("externalIPs") or []
    if kind == "ExternalName":
        return str(spec.get("externalName") or "")
    if kind == "LoadBalancer":
        entries = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        found = [entry.get("ip") or entry.get("hostname") or "" for entry in entries]
        return joined([*found, *external], empty="<pending>")
    return joined(external)


def _ports(service: Object, now: datetime) -> str:
    return joined(
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol', 'TCP')}"
        for port in (service.get("spec") or {}).get("ports") or []
    )


def _slice_ports(endpoint_slice: Object, now: datetime) -> str:
    ports = [port.get("port", "*") for port in endpoint_slice.get("ports") or []]
    return _some(ports, UNSET)


def _slice_endpoints(endpoint_slice: Object, now: datetime) -> str:
    found = [address for e in endpoint_slice.get("endpoints") or [] for address in e.get("addresses") or []]
    return _some(found, UNSET)


def _some(values: list[object], empty: str) -> str:
    more = f" + {len(values) - 3} more..." if len(values) > 3 else ""
    return joined(values[:3], empty=empty) + more


def _hosts(ingress: Object, now: datetime) -> str:
    found = [rule["host"] for rule in (ingress.get("spec") or {}).get("rules") or [] if rule.get("host")]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return joined(found[:3], empty="*") + more


def _addresses(ingress: Object, now: datetime) -> str:
    entries = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return joined((entry.get("ip") or entry.get("hostname") or "" for entry in entries), empty="")


def _parameters(ingress_class: Object, now: datetime) -> str:
    parameters = (ingress_class.get("spec") or {}).get("parameters")
    if not parameters:
        return NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
    return f"{parameters['kind']}{group}/{parameters['name']}"


def _parent(address: Object, now: datetime) -> str:
    parent = (address.get("spec") or {}).get("parentRef") or {}
    parts = [parent.get(key) for key in ("resource", "namespace", "name")]
    return "/".join(str(part) for part in parts if part)


CELLS: dict[str, dict[str, Cell]] = {
    "services": {
        "Type": at("spec", "type"),
        "Cluster-IP": lambda obj, now: (obj.get("spec") or {}).get("clusterIP") or NONE,
        "External-IP": _external,
        "Port(s)": _ports,
        "Selector": lambda obj, now: labels((obj.get("spec") or {}).get("selector")),
    },
    "endpointslices": {
        "AddressType": at("addressType"),
        "Ports": _slice_ports,
        "Endpoints": _slice_endpoints,
    },
    "ingresses": {
        "Class": at("spec", "ingressClassName", default=NONE),
        "Hosts": _hosts,
        "Address": _addresses,
        "Ports": lambda obj, now: "80, 443" if (obj.get("spec") or {}).get("tls") else "80",
    },
    "ingressclasses": {"Controller": at("spec", "controller"), "Parameters": _parameters},
    "networkpolicies": {"Pod-Selector": lambda obj, now: label_selector((obj.get("spec") or {}).get("podSelector"))},
    "ipaddresses": {"ParentRef": _parent},
    "servicecidrs": {"CIDRs": lambda obj, now: joined((obj.get("spec") or {}).get("cidrs") or [])},
}
