"""The annotation that tells kubelets for how long they may keep Secrets: the longer, the more nodes there are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controllers.plan import Controller, Key, Patch, Plan, itself, key_of
from machinery.api.resources import NODES
from machinery.api.views import Node
from machinery.client.cache import Cache, Change
from machinery.structs import Struct

ANNOTATION = "node.alpha.kubernetes.io/ttl"
_STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 1 << 62, 300))
"""(fewest nodes, most nodes, seconds); they overlap, so that one node more or less changes nothing to and fro."""


class State(Struct, frozen=True):
    node: Node
    count: int


def plan(state: State, now: datetime) -> Plan:
    said = state.node.annotations.get(ANNOTATION, "")
    wanted = str(seconds(state.count, said))
    if said == wanted:
        return Plan()
    return Plan([Patch(NODES, key_of(state.node.obj), {"metadata": {"annotations": {ANNOTATION: wanted}}})])


def seconds(count: int, said: str) -> int:
    """The seconds for so many nodes; what is `said` stays as long as its step allows."""
    fitting = _fitting(count)
    return int(said) if said.isdecimal() and int(said) in fitting else fitting[0]


def _fitting(count: int) -> list[int]:
    return [ttl for fewest, most, ttl in _STEPS if fewest <= count <= most]


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(NODES, "", key.name)
    return State(Node(found), len(cache.list(NODES))) if found is not None else None


def _others(cache: Cache, change: Change) -> Iterable[Key]:
    """Where a node comes or goes, the others' step may be another."""
    if change.before is not None and change.after is not None:
        return
    nodes = cache.list(NODES)
    fitting = set(map(str, _fitting(len(nodes))))
    for node in map(Node, nodes):
        if node.annotations.get(ANNOTATION) not in fitting:
            yield key_of(node.obj)


NODE_TTL = Controller(
    "ttl", wakes={NODES: itself}, related=_others, observe=observe, plan=plan, identity="ttl-controller"
)
