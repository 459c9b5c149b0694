"""What pods as a whole may take, by what their containers ask for."""

from __future__ import annotations

import os
import uuid
from typing import Any

import pytest

from kubelet.podcgroup import PodLimits, burstable_shares, pod_limits, prepare, set_limits, weight, wider
from kubelet.resources import cgroup_parent
from machinery.api.resource import Object
from machinery.linux import cgroup


def pod(*resources: Object, qos: str = "Burstable", phase: str = "Running", **spec: Any) -> Object:
    containers = [{"name": f"c{number}", "resources": each} for number, each in enumerate(resources)]
    return {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {"containers": containers, **spec},
        "status": {"qosClass": qos, "phase": phase},
    }


BOTH = {"requests": {"cpu": "250m", "memory": "1Mi"}, "limits": {"cpu": "500m", "memory": "2Mi"}}


@pytest.mark.parametrize(
    ("found", "limits"),
    [
        (pod({}), PodLimits(2, 0, 0)),
        (pod({"requests": {"cpu": "1"}}), PodLimits(1024, 0, 0)),
        (pod(BOTH), PodLimits(256, 50_000, 2 << 20)),
        (pod(BOTH, BOTH), PodLimits(512, 100_000, 4 << 20)),
        (pod(BOTH, {}), PodLimits(256, 0, 0)),
        (pod(BOTH, initContainers=[{"name": "i"}]), PodLimits(256, 0, 0)),
        (pod({}, resources={"limits": {"cpu": "1", "memory": "1Mi"}}), PodLimits(1024, 100_000, 1 << 20)),
    ],
)
def test_limits_of_a_pod(found: Object, limits: PodLimits) -> None:
    assert pod_limits(found) == limits


def test_what_lies_between_two_limits_has_room_for_both() -> None:
    assert wider(PodLimits(2, 100, 5), PodLimits(9, 50, 7)) == PodLimits(9, 100, 7)
    assert wider(PodLimits(2, 0, 5), PodLimits(2, 50, 0)) == PodLimits(2, 0, 0)


def test_the_tier_of_burstable_pods_weighs_what_they_asked_for() -> None:
    others = [pod({}, qos="BestEffort"), pod(BOTH, qos="Guaranteed"), pod(BOTH, phase="Succeeded")]
    assert burstable_shares(others) == 2
    assert burstable_shares([pod(BOTH), pod(BOTH), *others]) == 512


@pytest.mark.parametrize(("shares", "of_v2"), [(2, 1), (1024, 39), (262144, 10000)])
def test_shares_as_weight(shares: int, of_v2: int) -> None:
    assert weight(shares) == of_v2


@pytest.mark.skipif(os.geteuid() != 0, reason="cgroups need root")
def test_the_kernel_holds_the_limits_until_the_pod_is_gone() -> None:
    root = f"/kubelet-{uuid.uuid4().hex[:8]}"
    try:
        prepare(root, pod(BOTH), [pod(BOTH)])
        parent = cgroup_parent(root, pod(BOTH))
        name, of_pod, of_tier = ("cpu.weight", 10, 10) if cgroup.is_unified() else ("cpu.shares", 256, 256)
        assert cgroup.read_int(cgroup.folder(parent, "cpu") / name) == of_pod
        assert cgroup.read_int(cgroup.folder(f"{root}/burstable", "cpu") / name) == of_tier
        limit = "memory.max" if cgroup.is_unified() else "memory.limit_in_bytes"
        assert cgroup.read_int(cgroup.folder(parent, "memory") / limit) == 2 << 20
        set_limits(parent, PodLimits())
        assert cgroup.read_int(cgroup.folder(parent, "memory") / limit) not in (1, 2 << 20)
    finally:
        cgroup.remove(root)
    assert not cgroup.exists(root)
