"""The kernel's counters under the names of containerd's metrics."""

from __future__ import annotations

import pytest

from runtime.containerd.metrics import told


@pytest.mark.parametrize(
    ("message", "found", "wanted"),
    [
        (
            "v1.MemoryStat",
            {"cache": 1, "pgfault": 2, "total_pgpgin": 3},
            {"cache": 1, "pg_fault": 2, "total_pg_pg_in": 3},
        ),
        ("v1.MemoryStat", {"hierarchical_memsw_limit": 4, "swap": 5}, {"hierarchical_swap_limit": 4}),
        ("v2.MemoryStat", {"anon": 1, "pgfault": 2, "zswap": 3}, {"anon": 1, "pgfault": 2}),
        ("v2.CPUStat", {"usage_usec": 7, "core_sched.force_idle_usec": 1}, {"usage_usec": 7}),
    ],
)
def test_counters_have_the_names_of_the_wire(message: str, found: dict[str, int], wanted: dict[str, int]) -> None:
    assert told(found, f"io.containerd.cgroups.{message}") == wanted
