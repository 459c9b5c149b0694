"""EndpointSlices of Services that select pods: each pod with an address is an endpoint, ready or not (KEP-752, 1672).

A Service that nothing answers for keeps one empty slice, which tells clients that it was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from controllers.endpoint_hints import asks_for_topology, hinted, spans_zones, unheeded
from controllers.endpoint_ports import PortsKey, pod_ports, ports_key
from controllers.endpoint_selection import (
    HEADLESS,
    MANAGED_BY,
    ZONE,
    ServiceIndex,
    address_family,
    by_selection,
    has_endpoints,
    service_of_slice,
    slices_of,
)
from controllers.endpoint_triggers import TRIGGER_TIME, TriggerTimes
from controllers.endpointslice_filling import Changes, Identity, Slice, filled, identity, recycled
from controllers.plan import (
    Action,
    Controller,
    Create,
    Delete,
    Key,
    Plan,
    Record,
    Update,
    itself,
    key_of,
    nobody,
    owner_reference,
)
from controllers.selection import selected
from machinery.api.errors import StatusError
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from machinery.api.selectors import from_labels
from machinery.api.views import SERVICE_NAME, EndpointSlice, Node, Pod, Service, View
from machinery.client.cache import Cache
from machinery.structs import Struct

MANAGER = "endpointslice-controller.k8s.io"
_RESERVED = (SERVICE_NAME, MANAGED_BY, HEADLESS)


class State(Struct, frozen=True):
    """`zones` has the pods' nodes, each with its zone or ""; `trigger` is since when the change is due.

    `lacks_zones`: the Service asks for hints by zones, and there are none.
    """

    service: Service
    pods: tuple[Pod, ...]
    zones: Mapping[str, str]
    slices: tuple[EndpointSlice, ...]
    trigger: str = ""
    lacks_zones: bool = False


def plan(state: State, now: datetime) -> Plan:
    """Put the selected pods into slices by their ports, keep what is right, and delete what is left over."""
    families = address_types(state.service)
    actions: list[Action] = []
    for family in families:
        actions += _actions(state, _changes(state, family))
        actions += [unheeded(state.service, family)] if state.lacks_zones else []
    foreign = [each for each in state.slices if each.address_type not in families]
    actions += [_delete(each) for each in foreign]
    homeless = [pod for pod in state.pods if has_endpoints(pod, terminating=True) and not _has_node(state, pod)]
    actions += [_failure(state, _no_node(state.service, pod)) for pod in homeless]

    def on_failure(action: Action, error: StatusError) -> list[Action]:
        if error.is_of_a_namespace_that_ends:
            return []
        return [_failure(state, f"{_doing(action)} for Service {_name(state.service)}: {error.message}")]

    return Plan(actions, on_failure=on_failure)


def address_types(service: Service) -> tuple[str, ...]:
    """Those that the Service has slices of; one of old without `ipFamilies` has them by its address."""
    if service.ip_families:
        return tuple(family for family in ("IPv4", "IPv6") if family in service.ip_families)
    if service.is_headless:
        return ("IPv4", "IPv6")
    return ("IPv6",) if ":" in service.cluster_ip else ("IPv4",)


def _changes(state: State, family: str) -> Changes:
    """What becomes of the slices of one address type."""
    service = state.service
    stored = [each for each in state.slices if each.address_type == family]
    owned = [each for each in stored if _is_owned(each, service)]
    by_ports: dict[PortsKey, list[EndpointSlice]] = {}
    for each in owned:
        by_ports.setdefault(ports_key(each.ports), []).append(each)
    stale = [each.name for each in owned if _own_labels(each) != _own_labels(service)]
    changes = Changes()
    for key, (ports, wanted) in _wanted(state, family).items():
        changes += filled(by_ports.pop(key, []), wanted, ports, family, stale)
    gone = tuple(each for left in by_ports.values() for each in left)
    others = tuple(each for each in stored if each not in owned)
    changes += Changes(deleted=gone)
    if not (changes.created or changes.updated or changes.unchanged):
        changes = _placeholder(service, changes, family)
    changes = recycled(hinted(service, changes))
    # What belongs to a Service of this name that is gone can't become this one's.
    return changes + Changes(deleted=others)


def _placeholder(service: Service, changes: Changes, family: str) -> Changes:
    """Where no slice would be left: the empty one, kept where it is there."""
    kept = changes.deleted[0] if len(changes.deleted) == 1 else None
    if kept is not None and not kept.endpoints and not kept.ports and kept.labels == _labels(service):
        return Changes(unchanged=(kept,))
    return Changes(created=(Slice((), (), family),), deleted=changes.deleted)


def _wanted(state: State, family: str) -> dict[PortsKey, tuple[tuple[Object, ...], dict[Identity, Object]]]:
    """The endpoints by their ports: pods of which some name a port otherwise are in slices of their own."""
    found: dict[PortsKey, tuple[tuple[Object, ...], dict[Identity, Object]]] = {}
    for pod in state.pods:
        if not has_endpoints(pod, terminating=True):
            continue
        ports = pod_ports(state.service, pod)
        _, endpoints = found.setdefault(ports_key(ports), (tuple(ports), {}))
        addresses = list(_addresses(pod, family))
        if addresses and _has_node(state, pod):
            endpoint = _endpoint(state, pod, addresses)
            endpoints[identity(endpoint)] = endpoint
    return found


def _has_node(state: State, pod: Pod) -> bool:
    return state.service.publish_not_ready or pod.node_name in state.zones


def _addresses(pod: Pod, family: str) -> Iterator[str]:
    for each in pod.pod_ips:
        kind, address = address_family(each["ip"])
        if kind == family:
            yield address


def _endpoint(state: State, pod: Pod, addresses: list[str]) -> Object:
    """Ready means neither unready nor terminating, unless the Service publishes all (KEP-1672)."""
    is_terminating = bool(pod.deleted)
    is_ready = state.service.publish_not_ready or (pod.is_ready and not is_terminating)
    endpoint: Object = {
        "addresses": addresses,
        "conditions": {"ready": is_ready, "serving": pod.is_ready, "terminating": is_terminating},
        "targetRef": target_reference(pod),
    }
    if pod.hostname and pod.subdomain == state.service.name:
        endpoint["hostname"] = pod.hostname
    if pod.node_name:
        endpoint["nodeName"] = pod.node_name
    if zone := state.zones.get(pod.node_name):
        endpoint["zone"] = zone
    return endpoint


def target_reference(pod: Pod) -> Object:
    return {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}


def _is_owned(each: EndpointSlice, service: Service) -> bool:
    return any(
        ref["uid"] == service.uid and ref["kind"] == "Service" and ref["apiVersion"] == "v1"
        for ref in each.owner_references
    )


def _own_labels(view: View) -> dict[str, str]:
    return {key: value for key, value in view.labels.items() if key not in _RESERVED}


def _labels(service: Service) -> dict[str, str]:
    headless = {HEADLESS: ""} if service.is_headless else {}
    return {**_own_labels(service), **headless, SERVICE_NAME: service.name, MANAGED_BY: MANAGER}


def _actions(state: State, changes: Changes) -> Iterator[Action]:
    """Creates go first, so that a crash between two writes leaves endpoints rather than takes them."""
    if not state.service.deleted:
        for each in changes.created:
            yield Create(ENDPOINT_SLICES, _object(state, each, {}))
    for each in changes.updated:
        assert each.was is not None
        yield Update(ENDPOINT_SLICES, _object(state, each, each.was.obj["metadata"]))
    for stored in changes.deleted:
        yield _delete(stored)


def _object(state: State, each: Slice, was: Object) -> Object:
    service = state.service
    metadata = {
        **was,
        "generateName": f"{service.name}-",
        "namespace": service.namespace,
        "labels": _labels(service),
        "ownerReferences": [owner_reference(SERVICES, service.obj)],
    }
    annotations = {key: value for key, value in (was.get("annotations") or {}).items() if key != TRIGGER_TIME}
    if state.trigger:
        annotations[TRIGGER_TIME] = state.trigger
    metadata["annotations"] = annotations
    if not annotations:
        del metadata["annotations"]
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": metadata,
        "addressType": each.address_type,
        # Null and not empty: what upstream's protobuf makes of none.
        "endpoints": list(each.endpoints) or None,
        "ports": list(each.ports) or None,
    }


def _delete(stored: EndpointSlice) -> Delete:
    return Delete(ENDPOINT_SLICES, key_of(stored.obj), uid=stored.uid)


def _name(view: View) -> str:
    return f"{view.namespace}/{view.name}"


def _no_node(service: Service, pod: Pod) -> str:
    return f"skipping Pod {pod.name} for Service {_name(service)}: Node {pod.node_name} Not Found"


def _doing(action: Action) -> str:
    match action:
        case Create():
            return "failed to create EndpointSlice"
        case Update(_, obj):
            return f"failed to update {obj['metadata']['name']} EndpointSlice"
        case Delete(_, key):
            return f"failed to delete {key.name} EndpointSlice"
    return "failed"


def _failure(state: State, message: str) -> Record:
    said = f"Error updating Endpoint Slices for Service {_name(state.service)}: {message}"
    return Record(state.service.obj, "Warning", "FailedToUpdateEndpointSlices", said)


def endpoint_slices() -> Controller:
    """Its memory is of what it has seen: Services by what they select, and the last causes of change."""
    triggers = TriggerTimes()

    def observe(cache: Cache, key: Key) -> State | None:
        found = cache.get(SERVICES, key.namespace, key.name)
        if found is None:
            triggers.forget(key)
            return None
        service = Service(found)
        if service.type == "ExternalName" or not service.selector:
            # Whoever has made slices for it answers for them.
            return None
        pods = selected(cache, key.namespace, from_labels(service.selector))
        trigger = triggers.look(key, service, pods)
        lacks_zones = asks_for_topology(service) and not spans_zones(map(Node, cache.list(NODES)))
        return State(service, pods, _zones(cache, pods), slices_of(cache, key, MANAGER), trigger, lacks_zones)

    return Controller(
        "endpointslice",
        wakes={SERVICES: itself, PODS: nobody, NODES: nobody, ENDPOINT_SLICES: service_of_slice(MANAGER)},
        observe=observe,
        plan=plan,
        component="endpoint-slice-controller",
        related=by_selection(ServiceIndex()),
    )


def _zones(cache: Cache, pods: Sequence[Pod]) -> dict[str, str]:
    nodes = {name: cache.get(NODES, "", name) for name in {pod.node_name for pod in pods}}
    return {name: View(node).labels.get(ZONE, "") for name, node in nodes.items() if node is not None}
