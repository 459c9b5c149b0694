"""Which pods the node takes, and in which words it refuses the others."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.admission import refusal, shortage
from kubelet.statusinput import Trouble
from machinery.api.resource import Object

NODE = {"cpu": "2", "memory": "1Gi", "pods": "110"}


def pod(resources: Object, name: str = "p", **container: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name, "generation": 2},
        "spec": {"containers": [{"name": "c", "resources": resources, **container}]},
        "status": {"phase": "Running", "qosClass": "Burstable", "containerStatuses": []},
    }


def asks(cpu: str = "", memory: str = "") -> Object:
    return {"requests": {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}}


def test_pods_that_have_ended_take_no_room() -> None:
    over = pod(asks("2"), name="over")
    over["status"]["phase"] = "Succeeded"
    assert shortage(pod(asks("2")), [over], NODE) is None
    lack = shortage(pod({}), [pod({}, name="a")], {**NODE, "pods": "1"})
    assert str(lack) == "Node didn't have enough resource: pods, requested: 1, used: 1, capacity: 1"


@pytest.mark.parametrize(
    ("qos", "pressures", "tolerations", "reason"),
    [
        ("BestEffort", {"MemoryPressure"}, [], "Evicted"),
        ("Burstable", {"MemoryPressure"}, [], None),
        ("BestEffort", {"MemoryPressure"}, [{"key": "node.kubernetes.io/memory-pressure"}], None),
        ("BestEffort", {"MemoryPressure"}, [{"operator": "Exists", "effect": "NoExecute"}], "Evicted"),
        ("Guaranteed", {"DiskPressure"}, [], "Evicted"),
        ("BestEffort", set(), [], None),
    ],
)
def test_pressure_refuses_pods(qos: str, pressures: set[str], tolerations: list[Object], reason: str | None) -> None:
    found = pod({})
    found["status"]["qosClass"] = qos
    found["spec"]["tolerations"] = tolerations
    why = refusal(found, [], NODE, pressures)
    assert (why.reason if why else None) == reason
    if why:
        assert why.message == f"The node had condition: [{next(iter(pressures))}]. "


def test_a_critical_pod_withstands_pressure_but_needs_room() -> None:
    found = pod(asks("3"))
    found["spec"]["priority"] = 2_000_000_000
    why = refusal(found, [], NODE, {"DiskPressure"})
    assert why == Trouble("OutOfcpu", "Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000")


def test_a_sysctl_that_is_the_host_s_is_refused() -> None:
    found = pod({})
    found["spec"]["securityContext"] = {"sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "1"}]}
    assert refusal(found, [], NODE, set()) is None
    found["spec"]["securityContext"]["sysctls"].append({"name": "vm.swappiness", "value": "1"})
    assert refusal(found, [], NODE, set()) == Trouble(
        "SysctlForbidden", 'forbidden sysctl: "vm.swappiness" not allowlisted'
    )


@pytest.mark.parametrize(
    ("of_pod", "of_container", "refused"),
    [
        (None, None, False),
        ({"type": "RuntimeDefault"}, None, True),
        ({"type": "RuntimeDefault"}, {"type": "Unconfined"}, False),
        (None, {"type": "Localhost", "localhostProfile": "x"}, True),
    ],
)
def test_a_promise_of_apparmor_is_kept_or_refused(of_pod: Object, of_container: Object, refused: bool) -> None:  # noqa: FBT001
    found = pod({}, securityContext={"appArmorProfile": of_container})
    found["spec"]["securityContext"] = {"appArmorProfile": of_pod}
    why = refusal(found, [], NODE, set(), has_apparmor=False)
    assert (why is not None and why.reason == "AppArmor") == refused
    assert refusal(found, [], NODE, set()) is None


def test_a_pod_of_another_system_is_refused() -> None:
    found = pod({})
    found["spec"]["os"] = {"name": "linux"}
    assert refusal(found, [], NODE, set()) is None
    found["spec"]["os"] = {"name": "windows"}
    why = refusal(found, [], NODE, set())
    assert why is not None and why.reason == "PodOSNotSupported"
