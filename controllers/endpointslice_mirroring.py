"""EndpointSlices for Endpoints that users keep by hand, so that whoever follows slices alone sees them (KEP-752)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from controllers.endpoint_ports import PortsKey, ports_key, slice_port, sorted_ports
from controllers.endpoint_selection import MANAGED_BY, address_family, service_of_slice, slices_of
from controllers.endpoint_subsets import offers, repacked
from controllers.endpoint_triggers import TRIGGER_TIME
from controllers.endpointslice_filling import Changes, Identity, Slice, identity, recycled
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
    owner_reference,
)
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from machinery.api.views import SERVICE_NAME, Endpoints, EndpointSlice, Service
from machinery.client.cache import Cache
from machinery.structs import Struct, field, replace

MANAGER = "endpointslicemirroring-controller.k8s.io"
MOST_ADDRESSES = 1000
"""Of a subset, which makes one slice."""
_SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_MIRRORED = (TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration")


class State(Struct, frozen=True):
    """`endpoints` is None where there are none to mirror."""

    endpoints: Endpoints | None
    slices: tuple[EndpointSlice, ...]


class _Wanted(Struct):
    """One slice to be: the endpoints of an address type and a set of ports."""

    ports: tuple[Object, ...]
    endpoints: dict[Identity, Object] = field(default_factory=dict)


class _Mirror(Struct):
    wanted: dict[tuple[str, PortsKey], _Wanted] = field(default_factory=dict)
    invalid: int = 0
    skipped: int = 0


def plan(state: State, now: datetime) -> Plan:
    """One slice for each subset and address type; none where there is nothing to mirror."""
    endpoints = state.endpoints
    if endpoints is None:
        return Plan([_delete(each) for each in state.slices])
    mirror = _mirror(endpoints)
    changes = recycled(_changes(state.slices, mirror))
    actions: list[Action] = [*_events(endpoints, mirror)]
    if not endpoints.deleted:
        actions += [Create(ENDPOINT_SLICES, _object(endpoints, each)) for each in changes.created]
    for each in changes.updated:
        made = _object(endpoints, each)
        if each.was is not None and not _is_same(each.was.obj, made):
            actions.append(Update(ENDPOINT_SLICES, made))
    return Plan([*actions, *map(_delete, changes.deleted)])


def _mirror(endpoints: Endpoints) -> _Mirror:
    mirror = _Mirror()
    for subset in repacked(offers(endpoints.subsets)):
        ports = tuple(sorted_ports(slice_port(port) for port in subset.get("ports", ())))
        added = 0
        for offer in offers([subset]):
            if added >= MOST_ADDRESSES:
                mirror.skipped += 1
                continue
            made = _endpoint(offer.address, is_ready=offer.is_ready)
            if made is None:
                mirror.invalid += 1
                continue
            kind, endpoint = made
            wanted = mirror.wanted.setdefault((kind, ports_key(ports)), _Wanted(ports))
            wanted.endpoints[identity(endpoint)] = endpoint
            added += 1
    return mirror


def _endpoint(address: Object, *, is_ready: bool) -> tuple[str, Object] | None:
    """The address type and the endpoint; None where the address is none."""
    family, ip = address_family(address["ip"])
    if not family:
        return None
    endpoint: Object = {"addresses": [ip], "conditions": {"ready": is_ready}}
    for name in ("targetRef", "nodeName", "hostname"):
        if address.get(name):
            endpoint[name] = address[name]
    return family, endpoint


def _changes(stored: tuple[EndpointSlice, ...], mirror: _Mirror) -> Changes:
    changes, left = Changes(), list(stored)
    for (kind, key), wanted in mirror.wanted.items():
        alike = [each for each in left if each.address_type == kind and ports_key(each.ports) == key]
        left = [each for each in left if each not in alike]
        made = Slice(tuple(wanted.endpoints.values()), wanted.ports, kind)
        if alike:
            made = replace(made, endpoints=_in_order(alike[0], wanted), was=alike[0])
        changes += Changes((), (made,), tuple(alike[1:])) if alike else Changes((made,))
    return changes + Changes(deleted=tuple(left))


def _in_order(stored: EndpointSlice, wanted: _Wanted) -> tuple[Object, ...]:
    """What is there already first, so that an order alone is no change."""
    keys = [key for key in map(identity, stored.endpoints) if key in wanted.endpoints]
    return tuple(wanted.endpoints[key] for key in dict.fromkeys([*keys, *wanted.endpoints]))


def _object(endpoints: Endpoints, each: Slice) -> Object:
    was = each.was.obj["metadata"] if each.was is not None else {}
    name, namespace = endpoints.name, endpoints.namespace
    metadata = {
        **{part: value for part, value in was.items() if part != "generateName"},
        "namespace": namespace,
        "labels": {**endpoints.labels, SERVICE_NAME: name, MANAGED_BY: MANAGER},
        "annotations": {key: value for key, value in endpoints.annotations.items() if key not in _NOT_MIRRORED},
        "ownerReferences": [owner_reference(ENDPOINTS, endpoints.obj)],
    }
    if not metadata["annotations"]:
        del metadata["annotations"]
    if each.was is None:
        # The longest names leave no room for a dash.
        metadata["generateName"] = f"{name}-" if len(name) < 253 else name
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": metadata,
        "addressType": each.address_type,
        "endpoints": list(each.endpoints) or None,
        "ports": list(each.ports) or None,
    }


def _is_same(stored: Object, made: Object) -> bool:
    if any((stored["metadata"].get(part) or None) != (made["metadata"].get(part) or None) for part in made["metadata"]):
        return False
    return all((stored.get(part) or None) == made[part] for part in ("endpoints", "ports"))


def _events(endpoints: Endpoints, mirror: _Mirror) -> Iterator[Record]:
    if mirror.invalid:
        said = f"Skipped {mirror.invalid} invalid IP addresses when mirroring to EndpointSlices"
        yield Record(endpoints.obj, "Warning", "InvalidIPAddress", said)
    if mirror.skipped:
        said = (
            f"A max of {MOST_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. "
            f"{mirror.skipped + mirror.invalid} addresses were skipped"
        )
        yield Record(endpoints.obj, "Warning", "TooManyAddressesToMirror", said)


def _delete(stored: EndpointSlice) -> Delete:
    return Delete(ENDPOINT_SLICES, key_of(stored.obj), uid=stored.uid)


def observe(cache: Cache, key: Key) -> State:
    slices = slices_of(cache, key, MANAGER)
    service, found = (cache.get(resource, key.namespace, key.name) for resource in (SERVICES, ENDPOINTS))
    if service is None or found is None or Service(service).selector:
        return State(None, slices)
    endpoints = Endpoints(found)
    is_skipped = endpoints.labels.get(_SKIP) == "true" or _LEADER in endpoints.annotations
    return State(None if is_skipped else endpoints, slices)


ENDPOINT_SLICE_MIRRORING = Controller(
    "endpointslicemirroring",
    wakes={SERVICES: itself, ENDPOINTS: itself, ENDPOINT_SLICES: service_of_slice(MANAGER)},
    observe=observe,
    plan=plan,
    component="endpoint-slice-mirroring-controller",
)
