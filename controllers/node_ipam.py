"""Each node gets a range of the cluster's pod addresses (`spec.podCIDR`), the lowest that is free, and keeps it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from controllers.plan import Controller, Key, Patch, Plan, Record, itself, key_of
from machinery.api.resources import NODES
from machinery.api.views import Node, field
from machinery.client.cache import Cache

_RETRY = 60.0


class RangedNode(Node):
    pod_cidrs: field[list[str]] = field("spec.podCIDRs", [])


@dataclass(frozen=True)
class State:
    """`taken` are the ranges of all other nodes."""

    node: RangedNode
    taken: Collection[IPv4Network] = ()


def node_ipam(cluster_cidr: str, node_prefix: int) -> Controller:
    """A controller that gives out ranges of `cluster_cidr` (IPv4), each as long as the prefix says."""
    cluster = IPv4Network(cluster_cidr)
    prefix = max(node_prefix, cluster.prefixlen)

    def plan(state: State, now: datetime) -> Plan:
        node = state.node
        if node.pod_cidrs or node.deleted:
            return Plan()
        free = lowest(cluster, prefix, state.taken)
        if free is None:
            said = f"Node {node.name} status is now: CIDRNotAvailable"
            return Plan([Record(node.obj, "Normal", "CIDRNotAvailable", said)], requeue_after=_RETRY)
        metadata = {"uid": node.uid, "resourceVersion": node.resource_version}
        spec = {"podCIDR": str(free), "podCIDRs": [str(free)]}
        return Plan([Patch(NODES, key_of(node.obj), {"metadata": metadata, "spec": spec})])

    # One pass at a time: two could give one range to two nodes.
    return Controller(
        "nodeipam",
        wakes={NODES: itself},
        observe=observe,
        plan=plan,
        identity="node-controller",
        component="cidrAllocator",
        concurrency=1,
    )


def lowest(cluster: IPv4Network, prefix: int, taken: Collection[IPv4Network]) -> IPv4Network | None:
    """The lowest range of that prefix that overlaps none; None where there is no more."""
    start, size = int(cluster.network_address), 1 << (32 - prefix)
    held = sorted((int(each.network_address), int(each.broadcast_address)) for each in taken)
    for first, last in held:
        if last < start:
            continue
        if first >= start + size:
            break
        # Behind it, at the next border of a range.
        start = (last // size + 1) * size
    return IPv4Network((start, prefix)) if start <= int(cluster.broadcast_address) else None


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(NODES, "", key.name)
    if found is None:
        return None
    node = RangedNode(found)
    if node.pod_cidrs:
        return State(node)
    others = (RangedNode(obj) for obj in cache.list(NODES) if obj["metadata"]["name"] != node.name)
    ranges = (_network(cidr) for other in others for cidr in other.pod_cidrs)
    return State(node, [each for each in ranges if isinstance(each, IPv4Network)])


@lru_cache(maxsize=16_384)
def _network(cidr: str) -> IPv4Network | IPv6Network:
    """Each new node looks at the ranges of all others."""
    return ip_network(cidr)
