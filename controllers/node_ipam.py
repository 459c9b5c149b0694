"""Each node gets a range of the cluster's pod addresses (`spec.podCIDR`), the lowest that is free, and keeps it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_network

from controllers.plan import Controller, Key, Patch, Plan, Record, itself, key_of
from machinery.api.resources import NODES
from machinery.api.views import Node, field
from machinery.client.cache import Cache
from machinery.ip_families import Family, Network, family_of, networks
from machinery.structs import Struct

_RETRY = 60.0


class RangedNode(Node):
    pod_cidrs: field[list[str]] = field("spec.podCIDRs", [])


class State(Struct, frozen=True):
    """`taken` are the ranges of all other nodes."""

    node: RangedNode
    taken: Collection[Network] = ()


def node_ipam(cluster_cidrs: Sequence[str], node_prefixes: Mapping[Family, int]) -> Controller:
    """A controller that gives each node a range of each of `cluster_cidrs`, as long as the family's prefix says."""
    clusters = networks(cluster_cidrs)

    def plan(state: State, now: datetime) -> Plan:
        node = state.node
        if node.pod_cidrs or node.deleted:
            return Plan()
        free = [lowest(each, max(node_prefixes[family_of(each)], each.prefixlen), state.taken) for each in clusters]
        given = [str(each) for each in free if each is not None]
        if len(given) < len(free):
            said = f"Node {node.name} status is now: CIDRNotAvailable"
            return Plan([Record(node.obj, "Normal", "CIDRNotAvailable", said)], requeue_after=_RETRY)
        metadata = {"uid": node.uid, "resourceVersion": node.resource_version}
        spec = {"podCIDR": given[0], "podCIDRs": given}
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


def lowest(cluster: Network, prefix: int, taken: Collection[Network]) -> Network | None:
    """The lowest range of that prefix that overlaps none of its family; None where there is no more."""
    start, size = int(cluster.network_address), 1 << (cluster.max_prefixlen - prefix)
    own = [each for each in taken if family_of(each) is family_of(cluster)]
    held = sorted((int(each.network_address), int(each.broadcast_address)) for each in own)
    for first, last in held:
        if last < start:
            continue
        if first >= start + size:
            break
        # Behind it, at the next border of a range.
        start = (last // size + 1) * size
    return type(cluster)((start, prefix)) if start <= int(cluster.broadcast_address) else None


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(NODES, "", key.name)
    if found is None:
        return None
    node = RangedNode(found)
    if node.pod_cidrs:
        return State(node)
    others = (RangedNode(obj) for obj in cache.list(NODES) if obj["metadata"]["name"] != node.name)
    return State(node, [_network(cidr) for other in others for cidr in other.pod_cidrs])


@lru_cache(maxsize=16_384)
def _network(cidr: str) -> Network:
    """Each new node looks at the ranges of all others."""
    return ip_network(cidr)
