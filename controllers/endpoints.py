"""Endpoints of Services that select pods: the elder, smaller view beside EndpointSlices (deprecated by KEP-4974)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controllers.endpoint_ports import target_port
from controllers.endpoint_selection import (
    HEADLESS,
    ServiceIndex,
    address_family,
    by_selection,
    has_endpoints,
)
from controllers.endpoint_subsets import Offer, repacked, truncated
from controllers.endpoint_triggers import TRIGGER_TIME, TriggerTimes
from controllers.endpointslice import address_types, target_reference
from controllers.plan import Action, Controller, Create, Delete, Key, Plan, Record, Update, itself, key_of, nobody
from controllers.selection import selected
from machinery.api.errors import StatusError
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINTS, PODS, SERVICES
from machinery.api.selectors import from_labels
from machinery.api.views import Endpoints, Pod, Service, View
from machinery.client.cache import Cache, Change
from machinery.structs import Struct

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"


class State(Struct, frozen=True):
    """`service` is None where it is gone, `stored` where there are no Endpoints yet."""

    service: Service | None
    stored: Endpoints | None
    pods: tuple[Pod, ...] = ()
    trigger: str = ""


def plan(state: State, now: datetime) -> Plan:
    """Write what the pods offer where it is not what is stored; nothing outlives its Service."""
    service, stored = state.service, state.stored
    if service is None:
        return Plan() if stored is None else Plan([Delete(ENDPOINTS, key_of(stored.obj), uid=stored.uid)])
    subsets, is_truncated = truncated(repacked(_offers(service, state.pods)))
    if stored is not None and _is_as_wanted(stored, service, subsets, is_truncated=is_truncated):
        return Plan()
    made = _object(state, service, subsets, is_truncated=is_truncated)

    def on_failure(action: Action, error: StatusError) -> list[Action]:
        if error.is_of_a_namespace_that_ends:
            return []
        name = f"{service.namespace}/{service.name}"
        if isinstance(action, Create):
            said = f"Failed to create endpoint for service {name}: {error.message}"
            return [Record(made, "Warning", "FailedToCreateEndpoint", said)]
        return [Record(made, "Warning", "FailedToUpdateEndpoint", f"Failed to update endpoint {name}: {error.message}")]

    return Plan([Create(ENDPOINTS, made) if stored is None else Update(ENDPOINTS, made)], on_failure=on_failure)


def _offers(service: Service, pods: tuple[Pod, ...]) -> Iterator[Offer]:
    family = address_types(service)[0] if not service.ip_families else service.ip_families[0]
    for pod in pods:
        if not has_endpoints(pod, terminating=service.publish_not_ready):
            continue
        address = _address(service, pod, family)
        if address is None:
            continue
        is_ready = service.publish_not_ready or pod.is_ready
        if not service.ports and service.cluster_ip == "None":
            yield Offer(address, (), is_ready)
        numbers = ((port, target_port(pod, port)) for port in service.ports)
        ports = tuple({**port, "port": number} for port, number in numbers if number is not None)
        if ports:
            yield Offer(address, ports, is_ready)


def _address(service: Service, pod: Pod, family: str) -> Object | None:
    ip = next((each["ip"] for each in pod.pod_ips if address_family(each["ip"])[0] == family), "")
    if not ip:
        return None
    address: Object = {"ip": ip, "targetRef": target_reference(pod)}
    if pod.node_name:
        address["nodeName"] = pod.node_name
    if pod.hostname and pod.subdomain == service.name:
        address["hostname"] = pod.hostname
    return address


def _labels(service: Service) -> dict[str, str]:
    own = {key: value for key, value in service.labels.items() if key != HEADLESS}
    return {**own, **({HEADLESS: ""} if service.is_headless else {}), MANAGED_BY: MANAGER}


def _is_as_wanted(stored: Endpoints, service: Service, subsets: list[Object], *, is_truncated: bool) -> bool:
    said = "truncated" if is_truncated else None
    labels, had = _labels(service), stored.annotations.get(OVER_CAPACITY)
    return stored.subsets == subsets and stored.labels == labels and had == said


def _object(state: State, service: Service, subsets: list[Object], *, is_truncated: bool) -> Object:
    was = {} if state.stored is None else state.stored.obj["metadata"]
    annotations = dict(was.get("annotations") or {})
    for name, value in ((TRIGGER_TIME, state.trigger), (OVER_CAPACITY, "truncated" if is_truncated else "")):
        annotations.pop(name, None)
        if value:
            annotations[name] = value
    metadata = {**was, "name": service.name, "namespace": service.namespace, "labels": _labels(service)}
    metadata["annotations"] = annotations
    if not annotations:
        del metadata["annotations"]
    made: Object = {"apiVersion": ENDPOINTS.api_version, "kind": ENDPOINTS.kind, "metadata": metadata}
    return {**made, "subsets": subsets} if subsets else made


def endpoints() -> Controller:
    """Its memory is of what it has seen, as that of `endpoint_slices`."""
    triggers, select = TriggerTimes(), by_selection(ServiceIndex())

    def observe(cache: Cache, key: Key) -> State | None:
        found, there = (cache.get(resource, key.namespace, key.name) for resource in (SERVICES, ENDPOINTS))
        stored = Endpoints(there) if there is not None else None
        if found is None:
            triggers.forget(key)
            return State(None, stored)
        service = Service(found)
        if service.type == "ExternalName" or not service.selector:
            # Whoever has made Endpoints for it answers for them.
            return None
        pods = selected(cache, key.namespace, from_labels(service.selector))
        return State(service, stored, pods, triggers.look(key, service, pods))

    def related(cache: Cache, change: Change) -> Iterator[Key]:
        yield from select(cache, change)
        if change.resource == ENDPOINTS and _is_to_be_looked_at(change):
            yield key_of(change.object)

    return Controller(
        "endpoint",
        wakes={SERVICES: itself, PODS: nobody, ENDPOINTS: nobody},
        observe=observe,
        plan=plan,
        related=related,
    )


def _is_to_be_looked_at(change: Change) -> bool:
    """Those of users may be there before their Service; ours, and what is deleted, are looked at."""
    seen = [View(obj) for obj in (change.before, change.after) if obj is not None]
    return change.after is None or any(view.labels.get(MANAGED_BY) == MANAGER for view in seen)
