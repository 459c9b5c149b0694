"""What a task uses, as containerd's shims tell it from the cgroup: memory, CPU time, processes (`ctr tasks metrics`).

Blocks: small files of the kernel. What a machine's kernel does not count is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from machinery.linux import cgroup
from machinery.rpc.wire import CGROUP_METRICS

UNLIMITED = (1 << 64) - 1
_VERSION_1, _VERSION_2 = "io.containerd.cgroups.v1", "io.containerd.cgroups.v2"
# Where the wire spells the kernel's words otherwise.
_SPELLINGS = {
    "pgpgin": "pg_pg_in",
    "pgpgout": "pg_pg_out",
    "pgfault": "pg_fault",
    "pgmajfault": "pg_maj_fault",
    "hierarchical_memsw_limit": "hierarchical_swap_limit",
}
_ENTRIES = {"usage": "memory", "swap": "memory.memsw", "kernel": "memory.kmem", "kernel_tcp": "memory.kmem.tcp"}


def task_metrics(path: str) -> tuple[str, bytes]:
    """The type URL and the bytes of the cgroup's metrics, in the form of the hierarchy that this machine has."""
    message = f"{_VERSION_2 if cgroup.is_unified() else _VERSION_1}.Metrics"
    values = _unified(cgroup.folder(path, "")) if cgroup.is_unified() else _legacy(path)
    return message, CGROUP_METRICS.message(message)(**values).SerializeToString()


def _legacy(path: str) -> dict[str, Any]:
    memory, cpu, pids = (cgroup.folder(path, name) for name in ("memory", "cpu", "pids"))
    accounting = cgroup.folder(path, "cpuacct")
    ticks, stat = os.sysconf("SC_CLK_TCK"), dict(_pairs(accounting / "cpuacct.stat"))
    throttling = dict(_pairs(cpu / "cpu.stat"))
    per_cpu = _text(accounting / "cpuacct.usage_percpu").split()
    return {
        "memory": {
            **told(dict(_pairs(memory / "memory.stat")), f"{_VERSION_1}.MemoryStat"),
            **{name: _entry(memory, prefix) for name, prefix in _ENTRIES.items()},
        },
        "cpu": {
            "usage": {
                "total": _number(accounting / "cpuacct.usage"),
                "user": stat.get("user", 0) * 10**9 // ticks,
                "kernel": stat.get("system", 0) * 10**9 // ticks,
                "per_cpu": [int(each) for each in per_cpu],
            },
            "throttling": {
                "periods": throttling.get("nr_periods", 0),
                "throttled_periods": throttling.get("nr_throttled", 0),
                "throttled_time": throttling.get("throttled_time", 0),
            },
        },
        # No limit is 0 here, and the largest number for memory: as containerd's library has it.
        "pids": {"current": _number(pids / "pids.current"), "limit": cgroup.read_int(pids / "pids.max")},
    }


def _unified(folder: Path) -> dict[str, Any]:
    return {
        "memory": {
            **told(dict(_pairs(folder / "memory.stat")), f"{_VERSION_2}.MemoryStat"),
            "usage": _number(folder / "memory.current"),
            "usage_limit": _number(folder / "memory.max"),
            "swap_usage": _number(folder / "memory.swap.current"),
            "swap_limit": _number(folder / "memory.swap.max"),
        },
        "memory_events": told(dict(_pairs(folder / "memory.events")), f"{_VERSION_2}.MemoryEvents"),
        "cpu": told(dict(_pairs(folder / "cpu.stat")), f"{_VERSION_2}.CPUStat"),
        "pids": {"current": _number(folder / "pids.current"), "limit": _number(folder / "pids.max")},
    }


def _entry(folder: Path, prefix: str) -> dict[str, int]:
    names = {"limit": "limit_in_bytes", "usage": "usage_in_bytes", "max": "max_usage_in_bytes", "failcnt": "failcnt"}
    return {name: _number(folder / f"{prefix}.{file}") for name, file in names.items()}


def told(found: Mapping[str, int], message: str) -> dict[str, int]:
    """Those of the kernel's pairs that the message has, by its names. Pure."""
    described = CGROUP_METRICS.message(message).DESCRIPTOR.fields
    fields = {field.name for field in described if field.message_type is None}
    spelled = {name if name in fields else _spelling(name): value for name, value in found.items()}
    return {name: value for name, value in spelled.items() if name in fields}


def _spelling(name: str) -> str:
    total = "total_" if name.startswith("total_") else ""
    plain = name.removeprefix(total)
    return total + _SPELLINGS.get(plain, plain)


def _pairs(path: Path) -> Iterator[tuple[str, int]]:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if value.isdecimal():
            yield name, int(value)


def _number(path: Path) -> int:
    text = _text(path).strip()
    return UNLIMITED if text == "max" else int(text) if text.isdecimal() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
