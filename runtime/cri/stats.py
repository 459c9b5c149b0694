"""What containers use, read from their cgroups. Blocks: small files, many of them."""

from __future__ import annotations

import time
from typing import Any

from machinery.linux import cgroup
from runtime.cri.answers import make, sandbox_metadata
from runtime.sandbox.records import ContainerRecord, SandboxRecord


def container_stats(record: ContainerRecord) -> Any:
    attributes = make(
        "ContainerAttributes",
        id=record.id,
        metadata=make("ContainerMetadata", name=record.name, attempt=record.attempt),
        labels=record.labels,
        annotations=record.annotations,
    )
    cpu, memory = _usage(record.cgroup_path)
    return make("ContainerStats", attributes=attributes, cpu=cpu, memory=memory)


def sandbox_stats(record: SandboxRecord, inside: list[ContainerRecord]) -> Any:
    attributes = make(
        "PodSandboxAttributes",
        id=record.id,
        metadata=sandbox_metadata(record),
        labels=record.labels,
        annotations=record.annotations,
    )
    cpu, memory = _usage(record.cgroup_parent)
    running = [container_stats(each) for each in inside if each.state == "running"]
    linux = make("LinuxPodSandboxStats", cpu=cpu, memory=memory, containers=running)
    return make("PodSandboxStats", attributes=attributes, linux=linux)


def _usage(path: str) -> tuple[Any, Any]:
    now = time.time_ns()
    if cgroup.is_unified():
        folder = cgroup.folder(path, "")
        nanoseconds = _keyed(folder / "cpu.stat", "usage_usec") * 1000
        usage, cache = cgroup.read_int(folder / "memory.current"), _keyed(folder / "memory.stat", "inactive_file")
    else:
        nanoseconds = cgroup.read_int(cgroup.folder(path, "cpuacct") / "cpuacct.usage")
        memory = cgroup.folder(path, "memory")
        usage = cgroup.read_int(memory / "memory.usage_in_bytes")
        cache = _keyed(memory / "memory.stat", "total_inactive_file")
    cpu = make("CpuUsage", timestamp=now, usage_core_nano_seconds=_number(nanoseconds))
    working_set = _number(max(usage - cache, 0))
    return cpu, make("MemoryUsage", timestamp=now, working_set_bytes=working_set, usage_bytes=_number(usage))


def _number(value: int) -> Any:
    return make("UInt64Value", value=value)


def _keyed(path: Any, key: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key} ")), 0)
