"""What nodes and containers use: rates out of two looks at the kubelets' counters. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from machinery.api.resource import Object
from machinery.api.timestamps import parse_time
from machinery.structs import Struct, field


class Subject(NamedTuple):
    """A container; or a node, by its name alone."""

    namespace: str = ""
    pod: str = ""
    container: str = ""
    node: str = ""


class Counters(Struct, frozen=True):
    """Nanoseconds of all cores until `at`, and bytes of memory that can't be taken back."""

    at: datetime
    cpu: int
    memory: int


class Usage(Struct, frozen=True):
    """`cpu` in billionths of a core, `memory` in bytes."""

    cpu: int
    memory: int


class NodeUsage(Struct, frozen=True):
    at: datetime
    window: timedelta
    usage: Usage


class PodUsage(Struct, frozen=True):
    """`containers` by their names; `window` is how long was looked at, until `at`."""

    at: datetime
    window: timedelta
    containers: Mapping[str, Usage]


class Usages(Struct, frozen=True):
    """`pods` by namespace and name."""

    nodes: Mapping[str, NodeUsage] = field(default_factory=dict)
    pods: Mapping[tuple[str, str], PodUsage] = field(default_factory=dict)


class UsageSource(Protocol):
    """Who knows what nodes and pods use."""

    async def usages(self) -> Usages:
        """As fresh as they are worth being; takes a moment where nobody has asked for a while."""

    @property
    def latest(self) -> Usages:
        """What was last found; kept fresh while anybody lives on it."""


def counters(summary: Object) -> dict[Subject, Counters]:
    """The counters in a kubelet's `/stats/summary`, of the node and of every container."""
    node = summary["node"]
    found = {Subject(node=node["nodeName"]): _counters(node)}
    for pod in summary.get("pods") or []:
        named = pod["podRef"]
        for container in pod.get("containers") or []:
            subject = Subject(named["namespace"], named["name"], container["name"])
            found[subject] = _counters(container)
    return found


def _counters(each: Object) -> Counters:
    cpu = each["cpu"]
    return Counters(parse_time(cpu["time"]), cpu["usageCoreNanoSeconds"], each["memory"]["workingSetBytes"])


def usages(before: Mapping[Subject, Counters], after: Mapping[Subject, Counters]) -> Usages:
    """What was used between two looks; a pod is left out while one of its containers has been seen once only.

    A counter that went back is another run's: it is taken for one that has been seen once.
    """
    nodes: dict[str, NodeUsage] = {}
    containers: dict[tuple[str, str], dict[str, tuple[Counters, Counters]]] = {}
    young: set[tuple[str, str]] = set()
    for subject, now in after.items():
        was = before.get(subject)
        is_known = was is not None and was.at < now.at and was.cpu <= now.cpu
        if subject.node:
            if was is not None and is_known:
                nodes[subject.node] = NodeUsage(now.at, now.at - was.at, _usage(was, now))
        elif was is not None and is_known:
            containers.setdefault((subject.namespace, subject.pod), {})[subject.container] = (was, now)
        else:
            young.add((subject.namespace, subject.pod))
    pods = {key: _pod(pairs) for key, pairs in containers.items() if key not in young}
    return Usages(nodes, pods)


def _pod(pairs: Mapping[str, tuple[Counters, Counters]]) -> PodUsage:
    at = max(now.at for _, now in pairs.values())
    window = max(now.at - was.at for was, now in pairs.values())
    return PodUsage(at, window, {name: _usage(was, now) for name, (was, now) in pairs.items()})


def _usage(was: Counters, now: Counters) -> Usage:
    seconds = (now.at - was.at) / timedelta(seconds=1)
    return Usage(int((now.cpu - was.cpu) / seconds), now.memory)
