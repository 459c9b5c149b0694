"""Pressure on the node: which thresholds are met, whom it costs, in which words. Cases by upstream's rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kubelet.eviction import (
    THRESHOLDS,
    ContainerUsage,
    Observation,
    PodUsage,
    Pressure,
    Signal,
    met,
    over_its_limit,
    ranked,
    verdict,
)
from kubelet.pressure_signals import folder_bytes, observations
from machinery.api.resource import Object

MEMORY, DISK, PIDS = THRESHOLDS[0], THRESHOLDS[1], THRESHOLDS[5]
MIB = 1 << 20
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def usage(
    name: str,
    *,
    memory: int = 0,
    disk: int = 0,
    request: Object | None = None,
    limit: Object | None = None,
    priority: int = 0,
    pids: int = 0,
) -> PodUsage:
    resources = {"requests": request or {}, "limits": limit or {}}
    pod = {
        "metadata": {"name": name, "uid": name},
        "spec": {"priority": priority, "containers": [{"name": "c", "resources": resources}]},
    }
    return PodUsage(pod, (ContainerUsage("c", memory * MIB, disk * MIB),), pids=pids)


@pytest.mark.parametrize(
    ("signal", "available", "capacity", "condition"),
    [
        (Signal.MEMORY, 99 * MIB, 1024 * MIB, "MemoryPressure"),
        (Signal.MEMORY, 100 * MIB, 1024 * MIB, None),
        (Signal.NODE_DISK, 9, 100, "DiskPressure"),
        (Signal.NODE_DISK, 10, 100, None),
        (Signal.NODE_INODES, 4, 100, "DiskPressure"),
        (Signal.IMAGE_DISK, 14, 100, "DiskPressure"),
        (Signal.IMAGE_INODES, 5, 100, None),
        (Signal.PIDS, 4, 100, "PIDPressure"),
    ],
)
def test_thresholds(signal: Signal, available: int, capacity: int, condition: str | None) -> None:
    found = met({signal: Observation(available, capacity)})
    assert [each.condition for each in found] == ([condition] if condition else [])


def test_a_condition_stays_for_a_while_after_the_pressure() -> None:
    pressure = Pressure().after([MEMORY], NOW)
    assert pressure.after([], NOW + timedelta(minutes=4)).conditions == {"MemoryPressure"}
    assert pressure.after([], NOW + timedelta(minutes=5)).conditions == frozenset()
    both = pressure.after([DISK], NOW + timedelta(minutes=1))
    assert both.conditions == {"MemoryPressure", "DiskPressure"}


def test_who_goes_first() -> None:
    within = usage("within", memory=50, request={"memory": "100Mi"}, priority=-5)
    little = usage("little", memory=20, request={"memory": "10Mi"})
    much = usage("much", memory=90, request={"memory": "10Mi"})
    important = usage("important", memory=500, priority=100)
    critical = usage("critical", memory=900, priority=2_000_000_000)
    order = ranked(MEMORY, [within, little, much, important, critical])
    assert [each.pod["metadata"]["name"] for each in order] == ["much", "little", "important", "within"]
    by_pids = ranked(PIDS, [usage("few", pids=2), usage("many", pids=9), usage("later", pids=99, priority=1)])
    assert [each.pod["metadata"]["name"] for each in by_pids] == ["many", "few", "later"]
    by_disk = ranked(DISK, [usage("a", disk=1), usage("b", disk=2)])
    assert [each.pod["metadata"]["name"] for each in by_disk] == ["b", "a"]


def test_the_message_names_what_used_more_than_it_asked_for() -> None:
    seen = Observation(91532 * 1024, 1 << 30)
    assert verdict(MEMORY, seen, usage("p", memory=20)).message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 91532Ki. "
        "Container c was using 20Mi, request is 0, has larger consumption of memory. "
    )
    modest = usage("p", memory=20, request={"memory": "30Mi"})
    assert verdict(MEMORY, seen, modest).message.endswith("available: 91532Ki. ")


@pytest.mark.parametrize(
    ("found", "volumes", "said"),
    [
        (usage("p", disk=5), {}, None),
        (usage("p", disk=5, limit={"ephemeral-storage": "10Mi"}), {}, None),
        (
            usage("p", disk=11, limit={"ephemeral-storage": "10Mi"}),
            {},
            "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ",
        ),
    ],
)
def test_a_pod_may_use_what_it_was_granted(found: PodUsage, volumes: dict[str, int], said: str | None) -> None:
    why = over_its_limit(found, volumes)
    assert (why.message if why else None) == said


def test_a_volume_may_grow_to_its_limit() -> None:
    found = usage("p")
    found.pod["spec"]["volumes"] = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}, {"name": "w", "emptyDir": {}}]
    assert over_its_limit(found, {"v": MIB, "w": 9 * MIB}) is None
    why = over_its_limit(found, {"v": MIB + 1})
    assert why is not None and why.message == 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '


def test_signals_are_read_from_the_machine(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 2000 kB\nMemFree: 10 kB\nMemAvailable: 500 kB\n")
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/pid_max").write_text("1000\n")
    (tmp_path / "loadavg").write_text("0.1 0.2 0.3 2/300 4444\n")
    found = observations(tmp_path / "absent", None, tmp_path)
    assert found[Signal.MEMORY] == Observation(500 * 1024, 2000 * 1024)
    assert found[Signal.PIDS] == Observation(700, 1000)
    assert found[Signal.NODE_DISK].capacity >= found[Signal.NODE_DISK].available > 0
    assert Signal.IMAGE_DISK not in found


def test_a_folder_s_size_counts_what_lies_below(tmp_path: Path) -> None:
    before = folder_bytes(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(b"x" * 100_000)
    assert folder_bytes(tmp_path) - before >= 100_000
    assert folder_bytes(tmp_path / "absent") == 0
