"""What upstream refuses in NetworkPolicies, and warns of (networking.k8s.io/v1 validation)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from apiserver.rules.field_errors import all_of, forbidden, invalid_value, not_supported, required
from apiserver.rules.label_rules import label_selector_errors
from apiserver.rules.network.addresses import cidr_errors, cidr_warnings, parse_cidr
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_POLICY_TYPES = ("Ingress", "Egress")
_PEERS = {"ingress": "from", "egress": "to"}


def policy_errors(policy: Object, known: Collection[str] = ()) -> list[Cause]:
    """`known` are ranges that the policy had before, which stay as they are."""
    spec = policy.get("spec") or {}
    errors = list(label_selector_errors(spec.get("podSelector"), "spec.podSelector"))
    for direction, peers in _PEERS.items():
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for place, port in enumerate(rule.get("ports") or ()):
                errors += _port_errors(port, f"{path}.ports[{place}]")
            for place, peer in enumerate(rule.get(peers) or ()):
                errors += _peer_errors(peer, f"{path}.{peers}[{place}]", known)
    types = spec.get("policyTypes") or ()
    if len(types) > len(_POLICY_TYPES):
        errors.append(invalid_value("spec.policyTypes", types, "may not specify more than two policyTypes"))
        return errors
    for index, kind in enumerate(types):
        if kind not in _POLICY_TYPES:
            errors.append(not_supported(f"spec.policyTypes[{index}]", kind, _POLICY_TYPES))
    return errors


def policy_update_errors(new: Object, old: Object) -> list[Cause]:
    return policy_errors(new, {text for block, _ in _blocks(old) for _, text in _ranges(block, "")})


def policy_warnings(policy: Object) -> list[str]:
    found: list[str] = []
    for block, path in _blocks(policy):
        for where, text in _ranges(block, path):
            found += cidr_warnings(text, where)
    return found


def _blocks(policy: Object) -> Iterator[tuple[Object, str]]:
    spec = policy.get("spec") or {}
    for direction, peers in _PEERS.items():
        for index, rule in enumerate(spec.get(direction) or ()):
            for place, peer in enumerate(rule.get(peers) or ()):
                if block := peer.get("ipBlock"):
                    yield block, f"spec.{direction}[{index}].{peers}[{place}].ipBlock"


def _ranges(block: Object, path: str) -> Iterator[tuple[str, str]]:
    yield f"{path}.cidr", block.get("cidr") or ""
    for index, text in enumerate(block.get("except") or ()):
        yield f"{path}.except[{index}]", text


def _port_errors(port: Object, path: str) -> Iterator[Cause]:
    protocol, number, last = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        yield not_supported(f"{path}.protocol", protocol, _PROTOCOLS)
    if isinstance(number, int):
        yield from all_of(f"{path}.port", number, names.port_number(number))
        if last is not None:
            if last < number:
                yield invalid_value(f"{path}.endPort", last, "must be greater than or equal to `port`")
            yield from all_of(f"{path}.endPort", last, names.port_number(last))
        return
    if last is not None:
        state = "not specified" if number is None else "non-numeric"
        yield invalid_value(f"{path}.endPort", last, f"may not be specified when `port` is {state}")
    if number is not None:
        yield from all_of(f"{path}.port", number, names.port_name(number))


def _peer_errors(peer: Object, path: str, known: Collection[str]) -> Iterator[Cause]:
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    for field in given:
        if field == "ipBlock":
            yield from _block_errors(peer[field], f"{path}.ipBlock", known)
        else:
            yield from label_selector_errors(peer[field], f"{path}.{field}")
    if not given:
        yield required(path, "must specify a peer")
    elif "ipBlock" in given and len(given) > 1:
        yield forbidden(path, "may not specify both ipBlock and another peer")


def _block_errors(block: Object, path: str, known: Collection[str]) -> Iterator[Cause]:
    cidr = block.get("cidr") or ""
    if not cidr:
        yield required(f"{path}.cidr")
        return
    yield from cidr_errors(cidr, f"{path}.cidr", known)
    whole = parse_cidr(cidr)
    if whole is None:
        return
    for index, text in enumerate(block.get("except") or ()):
        where = f"{path}.except[{index}]"
        yield from cidr_errors(text, where, known)
        part = parse_cidr(text)
        if part is not None and not _is_strictly_in(part.network, whole.network):
            yield invalid_value(where, text, "must be a strict subset of `cidr`")


def _is_strictly_in(inner: Any, outer: Any) -> bool:
    return bool(inner.version == outer.version and inner.prefixlen > outer.prefixlen and inner.subnet_of(outer))
