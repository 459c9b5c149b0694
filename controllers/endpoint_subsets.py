"""The subsets of Endpoints in upstream's canonical form: addresses with the same ports together, all of it sorted.

Ports and subsets are sorted by a hash of a Go value's text, as upstream does; see `endpoint_ports.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil

from controllers.endpoint_ports import by_hash, go_optional
from machinery.api.resource import Object
from machinery.structs import Struct

MOST_ADDRESSES = 1000
"""In all subsets; the rest is left out, those not ready first."""

Port = tuple[str, int, str, str | None]
AddressKey = tuple[str, str]


class Offer(Struct, frozen=True):
    """One address, and the ports that it answers on: none for a headless Service without ports."""

    address: Object
    ports: tuple[Object, ...]
    is_ready: bool


def repacked(offers: Iterable[Offer]) -> list[Object]:
    """The subsets; an address that is not ready in one offer of a port is not ready on it."""
    addresses: dict[AddressKey, Object] = {}
    by_port: dict[Port | None, dict[AddressKey, bool]] = {}
    for offer in offers:
        key = _address_key(offer.address)
        addresses.setdefault(key, offer.address)
        ports: list[Port | None] = [_port(each) for each in offer.ports]
        for port in ports or [None]:
            known = by_port.setdefault(port, {})
            known[key] = known.get(key, True) and offer.is_ready
    by_addresses: dict[tuple[tuple[AddressKey, bool], ...], list[Port]] = {}
    for port, found in by_port.items():
        same = by_addresses.setdefault(tuple(sorted(found.items())), [])
        if port is not None:
            same.append(port)
    subsets = [_subset(addresses, dict(found), same) for found, same in by_addresses.items()]
    return by_hash(subsets, _go_subset)


def offers(subsets: Iterable[Object]) -> Iterable[Offer]:
    """What stored subsets say, address by address."""
    for subset in subsets:
        ports = tuple(subset.get("ports") or ())
        for address in subset.get("addresses") or ():
            yield Offer(address, ports, is_ready=True)
        for address in subset.get("notReadyAddresses") or ():
            yield Offer(address, ports, is_ready=False)


def _address_key(address: Object) -> AddressKey:
    return address["ip"], (address.get("targetRef") or {}).get("uid") or ""


def _port(port: Object) -> Port:
    return port.get("name") or "", port["port"], port.get("protocol") or "TCP", port.get("appProtocol")


def _subset(addresses: Mapping[AddressKey, Object], found: Mapping[AddressKey, bool], ports: list[Port]) -> Object:
    in_order = sorted(found)
    parts: Object = {
        "addresses": [addresses[key] for key in in_order if found[key]],
        "notReadyAddresses": [addresses[key] for key in in_order if not found[key]],
        "ports": [_wire_port(port) for port in by_hash(ports, _go_port)],
    }
    return {name: part for name, part in parts.items() if part}


def _wire_port(port: Port) -> Object:
    name, number, protocol, application = port
    made: Object = {"name": name} if name else {}
    made |= {"port": number, "protocol": protocol}
    if application is not None:
        made["appProtocol"] = application
    return made


def truncated(subsets: list[Object]) -> tuple[list[Object], bool]:
    """At most `MOST_ADDRESSES`, shared out by the subsets' sizes, and whether any were left out."""
    ready = sum(len(each.get("addresses", ())) for each in subsets)
    others = sum(len(each.get("notReadyAddresses", ())) for each in subsets)
    if ready + others <= MOST_ADDRESSES:
        return subsets, False
    part, most, total = "notReadyAddresses", MOST_ADDRESSES - ready, others
    if ready > MOST_ADDRESSES:
        part, most, total = "addresses", MOST_ADDRESSES, ready
    left, kept = most, []
    for subset in subsets:
        had = subset.get(part, [])
        share = had[: min(ceil(len(had) / total * most), left)]
        left -= len(share)
        parts = {**subset, part: share}
        if part == "addresses":
            parts["notReadyAddresses"] = []
        kept.append({name: value for name, value in parts.items() if value})
    return kept, True


def _go_port(port: Port) -> str:
    return f"(v1.EndpointPort){_go_port_fields(port)}"


def _go_port_fields(port: Port) -> str:
    name, number, protocol, application = port
    return (
        f"{{Name:(string){name} Port:(int32){number} Protocol:(v1.Protocol){protocol} "
        f"AppProtocol:(*string){go_optional(application)}}}"
    )


def _go_subset(subset: Object) -> str:
    lists = (
        ("Addresses", "EndpointAddress", [_go_address(each) for each in subset.get("addresses", ())]),
        ("NotReadyAddresses", "EndpointAddress", [_go_address(each) for each in subset.get("notReadyAddresses", ())]),
        ("Ports", "EndpointPort", [_go_port_fields(_port(each)) for each in subset.get("ports", ())]),
    )
    fields = (
        f"{name}:([]v1.{kind}){'[' + ' '.join(entries) + ']' if entries else '<nil>'}" for name, kind, entries in lists
    )
    return f"(v1.EndpointSubset){{{' '.join(fields)}}}"


def _go_address(address: Object) -> str:
    target = address.get("targetRef")
    reference = "<nil>"
    if target is not None:
        fields = (
            ("Kind", "string", "kind"), ("Namespace", "string", "namespace"), ("Name", "string", "name"),
            ("UID", "types.UID", "uid"), ("APIVersion", "string", "apiVersion"),
            ("ResourceVersion", "string", "resourceVersion"), ("FieldPath", "string", "fieldPath"),
        )  # fmt: skip
        reference = "{" + " ".join(f"{name}:({kind}){target.get(wire) or ''}" for name, kind, wire in fields) + "}"
    return (
        f"{{IP:(string){address['ip']} Hostname:(string){address.get('hostname') or ''} "
        f"NodeName:(*string){go_optional(address.get('nodeName'))} TargetRef:(*v1.ObjectReference){reference}}}"
    )
