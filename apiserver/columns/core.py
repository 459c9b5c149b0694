"""Cells of core/v1's kinds but services and volumes, and of those that only tell a name or a count."""

from __future__ import annotations

from datetime import datetime

from apiserver.columns.cell import (
    NONE,
    UNKNOWN,
    Cell,
    at,
    condition,
    count,
    first_few,
    joined,
    labels,
    since,
    template_containers,
    template_images,
)
from apiserver.columns.pod_cells import PODS
from machinery.api.resource import Object
from machinery.ip_families import host_port

_ROLE = "node-role.kubernetes.io/"


def _node_status(node: Object, now: datetime) -> str:
    ready = condition(node, "Ready")
    told = "Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"
    return f"{told},SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else told


def _node_roles(node: Object, now: datetime) -> str:
    found = node["metadata"].get("labels") or {}
    roles = {key.removeprefix(_ROLE) for key in found if key.startswith(_ROLE) and key != _ROLE}
    roles |= {value for key, value in found.items() if key == "kubernetes.io/role" and value}
    return joined(sorted(roles))


def _node_address(kind: str) -> Cell:
    def cell(node: Object, now: datetime) -> str:
        addresses = (node.get("status") or {}).get("addresses") or []
        return next((a["address"] for a in addresses if a["type"] == kind), NONE)

    return cell


def _node_info(field: str) -> Cell:
    return lambda node, now: ((node.get("status") or {}).get("nodeInfo") or {}).get(field) or UNKNOWN


def _event_times(event: Object) -> tuple[str | None, str | None, int]:
    """(first, last, count) of either version's fields; what a series says goes before the rest."""
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")
    series = event.get("series")
    if series is not None:
        return first, series.get("lastObservedTime"), series.get("count") or 0
    last = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp") or first
    return first, last, event.get("count") or event.get("deprecatedCount") or 1


def _event_last(event: Object, now: datetime) -> str:
    return since(_event_times(event)[1], now)


def _event_first(event: Object, now: datetime) -> str:
    return since(_event_times(event)[0], now)


def _event_object(event: Object, now: datetime) -> str:
    about = event.get("involvedObject") or event.get("regarding") or {}
    return f"{about.get('kind', '').lower()}/{about['name']}" if about.get("name") else about.get("kind", "").lower()


def _event_field(event: Object, now: datetime) -> str:
    about = event.get("involvedObject") or event.get("regarding") or {}
    return str(about.get("fieldPath") or "")


def _event_source(event: Object, now: datetime) -> str:
    source = event.get("source") or event.get("deprecatedSource") or {}
    controller = event.get("reportingComponent") or event.get("reportingController")
    component = source.get("component") or controller or ""
    host = source.get("host") or event.get("reportingInstance") or ""
    return f"{component}, {host}" if host else str(component)


def _event_message(event: Object, now: datetime) -> str:
    return str(event.get("message") or event.get("note") or "").strip()


def _quota(part: str) -> Cell:
    def cell(quota: Object, now: datetime) -> str:
        status = quota.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        names = [name for name in sorted(hard) if name.startswith("limits.") == (part == "limits")]
        return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in names)

    return cell


def _data(obj: Object, now: datetime) -> int:
    return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})


def _endpoints(endpoints: Object, now: datetime) -> str:
    """Port by port; empty where all addresses are not ready."""
    found: list[str] = []
    for subset in endpoints.get("subsets") or []:
        ips = [address["ip"] for address in subset.get("addresses") or []]
        ports = subset.get("ports") or []
        found += [host_port(ip, port["port"]) for port in ports for ip in ips] if ports else ips
    return first_few(found, empty="" if endpoints.get("subsets") else NONE)


_EVENTS: dict[str, Cell] = {
    "Last Seen": _event_last,
    "Type": at("type"),
    "Reason": at("reason"),
    "Object": _event_object,
    "Subobject": _event_field,
    "Source": _event_source,
    "Message": _event_message,
    "First Seen": _event_first,
    "Count": lambda event, now: _event_times(event)[2],
}
CELLS: dict[str, dict[str, Cell]] = {
    "pods": PODS,
    "podtemplates": {
        "Containers": template_containers("template"),
        "Images": template_images("template"),
        "Pod Labels": lambda obj, now: labels(((obj.get("template") or {}).get("metadata") or {}).get("labels")),
    },
    "configmaps": {"Data": _data},
    "secrets": {"Type": at("type"), "Data": count("data")},
    "endpoints": {"Endpoints": _endpoints},
    "events": _EVENTS,
    "namespaces": {"Status": at("status", "phase")},
    "nodes": {
        "Status": _node_status,
        "Roles": _node_roles,
        "Version": at("status", "nodeInfo", "kubeletVersion"),
        "Internal-IP": _node_address("InternalIP"),
        "External-IP": _node_address("ExternalIP"),
        "OS-Image": _node_info("osImage"),
        "Kernel-Version": _node_info("kernelVersion"),
        "Container-Runtime": _node_info("containerRuntimeVersion"),
    },
    "resourcequotas": {"Request": _quota("requests"), "Limit": _quota("limits")},
    "leases": {"Holder": at("spec", "holderIdentity")},
    "runtimeclasses": {"Handler": at("handler")},
    "priorityclasses": {
        "Value": at("value", default=0),
        "Global-Default": at("globalDefault", default=False),
        "PreemptionPolicy": at("preemptionPolicy"),
    },
}
