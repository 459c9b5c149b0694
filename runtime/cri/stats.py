"""What containers use, read from their cgroups. Blocks: small files, many of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machinery.linux import cgroup
from runtime.cri.answers import make, sandbox_metadata
from runtime.sandbox.records import ContainerRecord, SandboxRecord

_NAMES = ("total_inactive_file", "total_rss", "total_pgfault", "total_pgmajfault")
_UNIFIED_NAMES = ("inactive_file", "anon", "pgfault", "pgmajfault")
# cgroup v1 writes the largest number of pages where there is no limit.
_NO_LIMIT = 1 << 62


def container_stats(record: ContainerRecord, written: tuple[int, int], mountpoint: str) -> Any:
    """`written`: bytes and inodes of its writable layer, on the filesystem at `mountpoint`."""
    attributes = make(
        "ContainerAttributes",
        id=record.id,
        metadata=make("ContainerMetadata", name=record.name, attempt=record.attempt),
        labels=record.labels,
        annotations=record.annotations,
    )
    cpu, memory = _usage(record.cgroup_path)
    layer = make(
        "FilesystemUsage",
        timestamp=time.time_ns(),
        fs_id=make("FilesystemIdentifier", mountpoint=mountpoint),
        used_bytes=_number(written[0]),
        inodes_used=_number(written[1]),
    )
    return make("ContainerStats", attributes=attributes, cpu=cpu, memory=memory, writable_layer=layer)


def sandbox_stats(record: SandboxRecord, inside: Sequence[Any], link: str) -> Any:
    """`inside`: its containers' statistics; `link`: the host's end of its network, empty where it has none."""
    attributes = make(
        "PodSandboxAttributes",
        id=record.id,
        metadata=sandbox_metadata(record),
        labels=record.labels,
        annotations=record.annotations,
    )
    cpu, memory = _usage(record.cgroup_parent)
    now = time.time_ns()
    processes = make("ProcessUsage", timestamp=now, process_count=_number(len(cgroup.processes(record.cgroup_parent))))
    linux = make("LinuxPodSandboxStats", cpu=cpu, memory=memory, process=processes, containers=inside)
    if link:
        interface = _interface(link)
        linux.network.CopyFrom(make("NetworkUsage", timestamp=now, default_interface=interface, interfaces=[interface]))
    return make("PodSandboxStats", attributes=attributes, linux=linux)


def _interface(link: str) -> Any:
    # What the host's end sends is what the sandbox receives.
    folder = Path("/sys/class/net") / link / "statistics"
    names = {"rx_bytes": "tx_bytes", "rx_errors": "tx_errors", "tx_bytes": "rx_bytes", "tx_errors": "rx_errors"}
    values = {name: _number(cgroup.read_int(folder / other)) for name, other in names.items()}
    return make("NetworkInterfaceUsage", **values, **{"name": "eth0"})


def _usage(path: str) -> tuple[Any, Any]:
    now = time.time_ns()
    if cgroup.is_unified():
        folder = cgroup.folder(path, "")
        nanoseconds = _keyed(folder / "cpu.stat", "usage_usec") * 1000
        usage, names = cgroup.read_int(folder / "memory.current"), _UNIFIED_NAMES
    else:
        nanoseconds = cgroup.read_int(cgroup.folder(path, "cpuacct") / "cpuacct.usage")
        folder = cgroup.folder(path, "memory")
        usage, names = cgroup.read_int(folder / "memory.usage_in_bytes"), _NAMES
    limit = cgroup.read_int(folder / ("memory.max" if cgroup.is_unified() else "memory.limit_in_bytes"))
    inactive, *others = (_keyed(folder / "memory.stat", name) for name in names)
    working_set = max(usage - inactive, 0)
    values = dict(zip(("rss_bytes", "page_faults", "major_page_faults"), map(_number, others), strict=True))
    if 0 < limit < _NO_LIMIT:
        values["available_bytes"] = _number(max(limit - working_set, 0))
    memory = make(
        "MemoryUsage", timestamp=now, working_set_bytes=_number(working_set), usage_bytes=_number(usage), **values
    )
    return make("CpuUsage", timestamp=now, usage_core_nano_seconds=_number(nanoseconds)), memory


def _number(value: int) -> Any:
    return make("UInt64Value", value=value)


def _keyed(path: Any, key: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key} ")), 0)
