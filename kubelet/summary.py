"""What a node and its containers use, as `/stats/summary` and `/metrics/resource` tell it. Pure but for `node_usage`.

Counters are read when somebody asks, and never else: whoever wants rates asks twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from kubelet.cri_values import ContainerStats
from kubelet.pressure_signals import memory
from machinery.api.resource import Object
from machinery.api.timestamps import rfc3339_micro
from machinery.structs import Struct

_PROC = Path("/proc")
_IDLE, _WAITING_FOR_DISKS, _GUESTS = 3, 4, 8
"""Columns of /proc/stat (proc(5)): time without work, and time of guests, which the first columns hold already."""
_BILLION = 1_000_000_000


class NodeUsage(Struct, frozen=True):
    """`cpu` are nanoseconds of all cores since the boot, as they were at `at` (nanoseconds of Unix time); bytes."""

    at: int
    cpu: int
    memory: int
    working_set: int
    available: int


def node_usage(proc: Path = _PROC) -> NodeUsage:
    """The machine's own. Blocks: two small files."""
    ticks = [int(word) for word in (proc / "stat").read_text().split("\n", 1)[0].split()[1:]]
    busy = sum(ticks[:_GUESTS]) - ticks[_IDLE] - ticks[_WAITING_FOR_DISKS]
    sizes = memory(proc)
    used = sizes["MemTotal:"] - sizes["MemFree:"]
    return NodeUsage(
        time.time_ns(),
        busy * _BILLION // os.sysconf("SC_CLK_TCK"),
        used,
        max(used - sizes.get("Inactive(file):", 0), 0),
        sizes["MemAvailable:"],
    )


def summary(node: str, usage: NodeUsage, stats: Mapping[str, Sequence[ContainerStats]]) -> Object:
    """The Summary of the stats API (kubelet's stats/v1alpha1); `stats` by the pods' uids."""
    return {
        "node": {
            "nodeName": node,
            "cpu": _cpu(usage.at, usage.cpu),
            "memory": {
                "time": _time(usage.at),
                "availableBytes": usage.available,
                "usageBytes": usage.memory,
                "workingSetBytes": usage.working_set,
            },
        },
        "pods": [_pod(uid, containers) for uid, containers in sorted(stats.items()) if containers],
    }


def _pod(uid: str, containers: Sequence[ContainerStats]) -> Object:
    at = max(each.cpu_at for each in containers)
    return {
        "podRef": {"name": containers[0].pod, "namespace": containers[0].namespace, "uid": uid},
        "containers": [
            {"name": each.name, "cpu": _cpu(each.cpu_at, each.cpu), "memory": _memory(each.cpu_at, [each])}
            for each in sorted(containers, key=lambda each: each.name)
        ],
        "cpu": _cpu(at, sum(each.cpu for each in containers)),
        "memory": _memory(at, containers),
    }


def _cpu(at: int, nanoseconds: int) -> Object:
    return {"time": _time(at), "usageCoreNanoSeconds": nanoseconds}


def _memory(at: int, containers: Iterable[ContainerStats]) -> Object:
    each = list(containers)
    return {
        "time": _time(at),
        "usageBytes": sum(one.memory for one in each),
        "workingSetBytes": sum(one.working_set for one in each),
        "rssBytes": sum(one.rss for one in each),
    }


def _time(nanoseconds: int) -> str:
    return rfc3339_micro(datetime.fromtimestamp(nanoseconds / _BILLION, UTC))


_NODE_CPU = ("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds")
_NODE_MEMORY = ("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes")
_CPU = ("cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the {} in core-seconds")
_MEMORY = ("memory_working_set_bytes", "gauge", "Current working set of the {} in bytes")


def exposition(usage: NodeUsage, stats: Mapping[str, Sequence[ContainerStats]]) -> str:
    """The resource metrics in Prometheus' text format (KEP-727), as metrics-server scrapes them."""
    pods = [containers for containers in stats.values() if containers]
    containers = [each for inside in pods for each in inside]
    metrics = [
        _metric(_NODE_CPU, [("", usage.cpu / _BILLION, usage.at)]),
        _metric(_NODE_MEMORY, [("", usage.working_set, usage.at)]),
        _metric(_of("container", _CPU), [(_container(each), each.cpu / _BILLION, each.cpu_at) for each in containers]),
        _metric(_of("container", _MEMORY), [(_container(each), each.working_set, each.cpu_at) for each in containers]),
        _metric(_of("pod", _CPU), [(_labels(each[0]), _sum(each, "cpu") / _BILLION, each[0].cpu_at) for each in pods]),
        _metric(_of("pod", _MEMORY), [(_labels(each[0]), _sum(each, "working_set"), each[0].cpu_at) for each in pods]),
        _metric(("resource_scrape_error", "gauge", "1 if there was an error while getting metrics"), [("", 0, 0)]),
    ]
    return "".join(metrics)


def _of(kind: str, metric: tuple[str, str, str]) -> tuple[str, str, str]:
    name, type_, said = metric
    return f"{kind}_{name}", type_, said.format(kind)


def _sum(containers: Sequence[ContainerStats], name: str) -> int:
    return sum(getattr(each, name) for each in containers)


def _labels(each: ContainerStats) -> str:
    return f'namespace="{each.namespace}",pod="{each.pod}"'


def _container(each: ContainerStats) -> str:
    return f'container="{each.name}",{_labels(each)}'


def _metric(metric: tuple[str, str, str], values: Iterable[tuple[str, float, int]]) -> str:
    name, type_, said = metric
    lines = [f"# HELP {name} [STABLE] {said}\n# TYPE {name} {type_}\n"]
    for labels, value, at in values:
        named = f"{name}{{{labels}}}" if labels else name
        lines.append(f"{named} {value}{f' {at // 1_000_000}' if at else ''}\n")
    return "".join(lines)
