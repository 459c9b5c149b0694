"""Which pods the node takes, and in which words it refuses the others."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.admission import Host, Verdict, admission, shortage
from kubelet.statusinput import Trouble
from machinery.api.resource import Object
from machinery.structs import replace

NODE = {"cpu": "2", "memory": "1Gi", "pods": "110"}
HOST = Host("n", NODE, {"disk": "ssd", "kubernetes.io/os": "linux"})


def pod(resources: Object, name: str = "p", **container: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name, "generation": 2},
        "spec": {"containers": [{"name": "c", "resources": resources, **container}]},
        "status": {"phase": "Running", "qosClass": "Burstable", "containerStatuses": []},
    }


def asks(cpu: str = "", memory: str = "") -> Object:
    return {"requests": {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}}


def refusal(found: Object, *others: Object, **host: Any) -> Trouble | None:
    return admission(found, others, replace(HOST, **host)).refused


def test_pods_that_have_ended_take_no_room() -> None:
    over = pod(asks("2"), name="over")
    over["status"]["phase"] = "Succeeded"
    assert shortage(pod(asks("2")), [over], NODE) is None
    lack = shortage(pod({}), [pod({}, name="a")], {**NODE, "pods": "1"})
    assert str(lack) == "Node didn't have enough resource: pods, requested: 1, used: 1, capacity: 1"


def test_a_pod_whose_resize_waits_takes_what_it_had() -> None:
    other = pod(asks("100"), name="other")
    assert shortage(pod(asks("1")), [other], NODE) is not None
    other["status"] |= {
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
        "containerStatuses": [{"name": "c", "containerID": "x://c", "resources": asks("500m")}],
    }
    assert shortage(pod(asks("1")), [other], NODE) is None


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
    why = refusal(found, pressures=pressures)
    assert (why.reason if why else None) == reason
    if why:
        assert why.message == f"The node had condition: [{next(iter(pressures))}]. "


def critical(resources: Object, **spec: Any) -> Object:
    found = pod(resources, name="critical")
    found["spec"] |= {"priority": 2_000_000_000, **spec}
    return found


def test_a_critical_pod_withstands_pressure_but_needs_room() -> None:
    found = critical(asks("3"))
    assert refusal(found, pressures={"DiskPressure"}) == Trouble(
        "UnexpectedAdmissionError",
        "Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods "
        "to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 1000), ]",
    )


def of_class(name: str, qos: str, cpu: str = "", memory: str = "", **spec: Any) -> Object:
    found = pod(asks(cpu, memory), name=name)
    found["status"]["qosClass"] = qos
    found["spec"] |= spec
    return found


@pytest.mark.parametrize(
    ("wants", "others", "goes"),
    [
        (asks("1"), [of_class("small", "Burstable", "500m")], []),
        # As few as free enough, and of the lower class those first.
        (
            asks("1500m"),
            [of_class("large", "Burstable", "1"), of_class("small", "Burstable", "500m")],
            ["large"],
        ),
        (asks("2"), [of_class("best", "BestEffort"), of_class("b", "Burstable", "1")], ["b"]),
        (asks("2"), [of_class("g", "Guaranteed", "1"), of_class("b", "Burstable", "1")], ["b", "g"]),
        (asks("1"), [of_class("g", "Guaranteed", "1"), of_class("b", "Burstable", "1")], ["b"]),
        # Both resources weigh the same, and of two alike the smaller one goes.
        (asks("1", "512Mi"), [of_class("a", "Burstable", "2", "1Gi"), of_class("b", "Burstable")], ["a"]),
        (
            asks("1"),
            [of_class("more", "Burstable", "1", "2Mi"), of_class("less", "Burstable", "1", "1Mi")],
            ["less"],
        ),
        # The node runs so many pods and no more.
        ({}, [of_class(str(number), "BestEffort") for number in range(110)], ["0"]),
    ],
)
def test_a_critical_pod_drives_off_those_that_hurt_least(wants: Object, others: list[Object], goes: list[str]) -> None:
    verdict = admission(critical(wants), others, HOST)
    assert verdict.refused is None
    assert [each["metadata"]["name"] for each in verdict.preempted] == goes


def test_a_critical_pod_drives_off_none_that_is_as_critical_nor_where_it_does_not_fit() -> None:
    other = of_class("other", "Burstable", "2", priority=2_000_000_000)
    verdict = admission(critical(asks("1")), [other], HOST)
    assert verdict.refused is not None and verdict.refused.reason == "UnexpectedAdmissionError"
    unfit = critical(asks("1"), nodeSelector={"disk": "hdd"})
    verdict = admission(unfit, [of_class("other", "Burstable", "2")], HOST)
    assert verdict.refused is not None and verdict.refused.reason == "NodeAffinity" and not verdict.preempted


AFFINE = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
PORTS = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
TAINTED = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
TAINT = {"key": "k", "value": "v", "effect": "NoExecute"}


def port(number: int, *, ip: str = "", protocol: str = "TCP") -> Object:
    return {"ports": [{"containerPort": 80, "hostPort": number, "hostIP": ip, "protocol": protocol}]}


@pytest.mark.parametrize(
    ("spec", "host", "message"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, {}, ""),
        ({"nodeSelector": {"disk": "hdd"}}, {}, AFFINE),
        ({}, {"taints": [TAINT]}, TAINTED),
        ({"tolerations": [{"key": "k", "operator": "Exists"}]}, {"taints": [TAINT]}, ""),
        # Whoever names the node itself is not held to what would only keep the scheduler away.
        ({}, {"taints": [{**TAINT, "effect": "NoSchedule"}]}, ""),
        # The first of several reasons is the one that is told.
        ({"nodeSelector": {"disk": "hdd"}}, {"taints": [TAINT]}, AFFINE),
    ],
)
def test_a_node_that_is_not_for_the_pod_refuses_it(spec: Object, host: Object, message: str) -> None:
    found = pod({})
    found["spec"] |= spec
    why = refusal(found, **host)
    assert (why.message if why else "") == message
    if why is not None:
        assert why.reason == message.split()[1]


@pytest.mark.parametrize(
    ("mine", "theirs", "is_taken"),
    [
        (port(80), port(80), True),
        (port(80), port(81), False),
        (port(80), port(80, protocol="UDP"), False),
        (port(80, ip="127.0.0.1"), port(80), True),
        (port(80, ip="127.0.0.1"), port(80, ip="127.0.0.2"), False),
    ],
)
def test_a_port_of_the_node_is_one_pod_s(mine: Object, theirs: Object, *, is_taken: bool) -> None:
    other = pod({}, name="other", **theirs)
    why = refusal(pod({}, **mine), other)
    assert why == (Trouble("NodePorts", PORTS) if is_taken else None)
    other["status"]["phase"] = "Failed"
    assert refusal(pod({}, **mine), other) is None


def test_room_is_told_before_other_reasons_in_a_fixed_order() -> None:
    found = pod(asks("3", "2Gi"))
    found["spec"]["nodeSelector"] = {"disk": "hdd"}
    assert (why := refusal(found)) is not None and why.reason == "OutOfcpu"
    assert (why := refusal(pod(asks("1", "2Gi")))) is not None and why.reason == "OutOfmemory"
    assert why.message == (
        "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824"
    )


def test_what_the_pod_s_class_costs_counts_too() -> None:
    found = pod(asks("2"))
    found["spec"]["overhead"] = {"cpu": "250m"}
    why = refusal(found)
    assert why is not None and "requested: 2250" in why.message


def test_a_resource_that_another_manages_is_counted_where_the_node_has_it() -> None:
    found = pod({"requests": {"example.com/dongle": "2"}})
    assert refusal(found) is None
    why = refusal(found, allocatable={**NODE, "example.com/dongle": "1"})
    assert why is not None and why.reason == "OutOfexample.com/dongle"
    huge = refusal(pod({"requests": {"hugepages-2Mi": "2Mi"}}))
    assert huge is not None and huge.reason == "OutOfhugepages-2Mi"


def test_a_label_of_another_system_is_refused() -> None:
    found = pod({})
    found["metadata"]["labels"] = {"kubernetes.io/os": "windows"}
    why = refusal(found)
    assert why is not None and why.reason == "PodOSSelectorNodeLabelDoesNotMatch"
    assert admission(pod({}), [], HOST) == Verdict()


def test_a_sysctl_that_is_the_host_s_is_refused() -> None:
    found = pod({})
    found["spec"]["securityContext"] = {"sysctls": [{"name": "net/ipv4/tcp_syncookies", "value": "1"}]}
    assert refusal(found) is None
    found["spec"]["securityContext"]["sysctls"].append({"name": "vm.swappiness", "value": "1"})
    assert refusal(found) == Trouble("SysctlForbidden", 'forbidden sysctl: "vm.swappiness" not allowlisted')


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
    why = refusal(found, has_apparmor=False)
    assert (why is not None and why.reason == "AppArmor") == refused
    assert refusal(found) is None


def test_a_pod_of_another_system_is_refused() -> None:
    found = pod({})
    found["spec"]["os"] = {"name": "linux"}
    assert refusal(found) is None
    found["spec"]["os"] = {"name": "windows"}
    why = refusal(found)
    assert why is not None and why.reason == "PodOSNotSupported"
