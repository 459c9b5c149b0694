"""The node's statistics as the kubelet tells them: counters alone, from files and values."""

from __future__ import annotations

import os
from pathlib import Path

from kubelet.cri_values import ContainerStats
from kubelet.summary import NodeUsage, exposition, node_usage, summary

AT = 1_767_225_600_000_000_000
NODE = NodeUsage(at=AT, cpu=3_500_000_000, memory=300, working_set=200, available=700)
STATS = {
    "u": [
        ContainerStats("b", 20, 0, "p", "n", 2_000_000_000, AT, 25, 15),
        ContainerStats("a", 10, 0, "p", "n", 1_000_000_000, AT, 12, 8),
    ],
    "empty": [],
}


def test_the_summary_has_every_container_and_the_pods_sums() -> None:
    found = summary("node", NODE, STATS)
    assert found["node"]["cpu"] == {"time": "2026-01-01T00:00:00.000000Z", "usageCoreNanoSeconds": 3_500_000_000}
    assert found["node"]["memory"]["workingSetBytes"] == 200
    (pod,) = found["pods"]
    assert pod["podRef"] == {"name": "p", "namespace": "n", "uid": "u"}
    assert [each["name"] for each in pod["containers"]] == ["a", "b"]
    assert pod["cpu"]["usageCoreNanoSeconds"] == 3_000_000_000
    assert (pod["memory"]["workingSetBytes"], pod["memory"]["usageBytes"]) == (30, 37)


def test_the_resource_metrics_are_those_that_are_scraped() -> None:
    lines = exposition(NODE, STATS).splitlines()
    assert "node_cpu_usage_seconds_total 3.5 1767225600000" in lines
    assert "node_memory_working_set_bytes 200 1767225600000" in lines
    assert 'container_cpu_usage_seconds_total{container="a",namespace="n",pod="p"} 1.0 1767225600000' in lines
    assert 'pod_memory_working_set_bytes{namespace="n",pod="p"} 30 1767225600000' in lines
    assert "# TYPE pod_cpu_usage_seconds_total counter" in lines


def test_a_machine_tells_its_busy_time_and_what_cannot_be_taken_back(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 10 50 9000 40 1 2 3 60 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    sizes = {"MemTotal": 1000, "MemFree": 400, "MemAvailable": 700, "Inactive(file)": 100}
    (tmp_path / "meminfo").write_text("".join(f"{name}: {size} kB\n" for name, size in sizes.items()))
    found = node_usage(tmp_path)
    assert found.cpu == (100 + 10 + 50 + 1 + 2 + 3) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert (found.memory, found.working_set, found.available) == (600 * 1024, 500 * 1024, 700 * 1024)
