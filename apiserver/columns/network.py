"""Cells of services, endpoint slices and networking.k8s.io."""

from __future__ import annotations

from datetime import datetime

from apiserver.columns.cell import NONE, UNSET, Cell, at, first_few, joined, label_selector, labels
from machinery.api.resource import Object


def _external(service: Object, now: datetime) -> str:
    spec = service.get("spec") or {}
    kind, external = spec.get("type"), spec.get("externalIPs") or []
    if kind == "ExternalName":
        return str(spec.get("externalName") or "")
    if kind == "LoadBalancer":
        return joined([*_balanced(service), *external], empty="<pending>")
    return joined(external)


def _balanced(obj: Object) -> list[str]:
    """The addresses or else names that the load balancer's status tells, each once and in order."""
    entries = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return sorted({entry.get("ip") or entry.get("hostname") or "" for entry in entries} - {""})


def _ports(service: Object, now: datetime) -> str:
    return joined(
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol', 'TCP')}"
        for port in (service.get("spec") or {}).get("ports") or []
    )


def _slice_ports(endpoint_slice: Object, now: datetime) -> str:
    ports = [port.get("port", port.get("name", "*")) for port in endpoint_slice.get("ports") or []]
    return first_few(ports, empty=UNSET)


def _slice_endpoints(endpoint_slice: Object, now: datetime) -> str:
    found = [address for e in endpoint_slice.get("endpoints") or [] for address in e.get("addresses") or []]
    return first_few(found, empty=UNSET)


def _hosts(ingress: Object, now: datetime) -> str:
    """The first three; upstream tells of more where a rule follows them, and counts rules that have no host, too."""
    rules = (ingress.get("spec") or {}).get("rules") or []
    named = [number for number, rule in enumerate(rules) if rule.get("host")][:3]
    more = f" + {len(rules) - 3} more..." if len(named) == 3 and named[-1] + 1 < len(rules) else ""
    return joined((rules[number]["host"] for number in named), empty="*") + more


def _parameters(ingress_class: Object, now: datetime) -> str:
    parameters = (ingress_class.get("spec") or {}).get("parameters")
    if not parameters:
        return NONE
    group = f".{parameters['apiGroup']}" if "apiGroup" in parameters else ""
    return f"{parameters['kind']}{group}/{parameters['name']}"


def _parent(address: Object, now: datetime) -> str:
    parent = (address.get("spec") or {}).get("parentRef")
    if not parent:
        return NONE
    resource = ".".join(filter(None, (parent.get("resource"), parent.get("group")))).lower()
    return "/".join(filter(None, (resource, parent.get("namespace"), parent.get("name"))))


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
        "Address": lambda obj, now: joined(_balanced(obj), empty=""),
        "Ports": lambda obj, now: "80, 443" if (obj.get("spec") or {}).get("tls") else "80",
    },
    "ingressclasses": {"Controller": at("spec", "controller"), "Parameters": _parameters},
    "networkpolicies": {"Pod-Selector": lambda obj, now: label_selector((obj.get("spec") or {}).get("podSelector"))},
    "ipaddresses": {"ParentRef": _parent},
    "servicecidrs": {"CIDRs": lambda obj, now: joined((obj.get("spec") or {}).get("cidrs") or [], empty="")},
}
