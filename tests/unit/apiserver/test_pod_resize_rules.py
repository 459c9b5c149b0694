"""What of a pod may change while it is resized, word by word."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from apiserver.rules.pods.pod_resize_rules import validate_resize
from machinery.api.resource import Object
from tests.kind_rules import lines
from tests.unit.apiserver.pod_examples import container, pod

ONLY = "Forbidden: only cpu and memory resources are mutable"
LIMITS = {"cpu": "1", "memory": "1Gi"}
BURSTABLE = {"requests": {"cpu": "1", "memory": "1Gi"}}
GUARANTEED = {"requests": LIMITS, "limits": LIMITS}
DOUBLED = {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
Change = Callable[[Object], object]


def resized(before: Object, change: Change, status: Object | None = None, **metadata: object) -> list[str]:
    """What is said when the spec of this pod is changed so by a resize."""
    old = pod(before, **metadata)
    old["status"].update(status or {})
    new = copy.deepcopy(old)
    change(new["spec"])
    return lines(validate_resize(new, old))


def sized(**resources: Object) -> Object:
    return {"containers": [container(resources=resources)]}


def put(tier: str, **amounts: str) -> Change:
    return lambda spec: spec["containers"][0].setdefault("resources", {}).update({tier: amounts})


def init(**fields: object) -> Object:
    return {"initContainers": [container(name="i", resources=BURSTABLE, **fields)], **sized(**BURSTABLE)}


def init_cpu(cpu: str) -> Change:
    return lambda spec: spec["initContainers"][0]["resources"]["requests"].update(cpu=cpu)


POLICY = [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]
RESTART = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]


@pytest.mark.parametrize(
    "before, change, expected",
    [
        (sized(**BURSTABLE), put("requests", cpu="2", memory="1Gi"), []),
        (sized(**BURSTABLE), put("limits", cpu="2"), []),
        (sized(**GUARANTEED), lambda spec: spec["containers"][0].update(resources=DOUBLED), []),
        (sized(**GUARANTEED), put("requests", cpu="500m", memory="1Gi"), [
            'spec: Invalid value: "Guaranteed": Pod QOS Class may not change as a result of resizing']),
        (sized(**BURSTABLE), put("requests", cpu="1"), [
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"]),
        (sized(limits={"cpu": "2"}, requests={"cpu": "1"}), put("limits"), [
            "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"]),
        (sized(**BURSTABLE), put("limits", **LIMITS), [
            'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing']),
        ({}, put("requests", cpu="1"), [
            'spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing']),
        (sized(**BURSTABLE), put("limits", cpu="500m"), [
            'spec.containers[0].resources.requests: Invalid value: "1": must be less than or equal to cpu limit of'
            " 500m"]),
        (sized(**BURSTABLE), put("requests", **{"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}), [
            f"spec: {ONLY}"]),
        (sized(**BURSTABLE), lambda spec: spec["containers"][0].update(image="other"), [f"spec: {ONLY}"]),
        (sized(**BURSTABLE), lambda spec: spec["containers"][0].update(resizePolicy=POLICY), [f"spec: {ONLY}"]),
        (sized(**BURSTABLE), lambda spec: spec.update(nodeSelector={"a": "b"}), [f"spec: {ONLY}"]),
        (sized(**BURSTABLE), lambda spec: spec["containers"].append({**spec["containers"][0], "name": "d"}), [
            "spec.containers: Forbidden: containers may not be added or removed on resize"]),
        (sized(**BURSTABLE), lambda spec: spec["containers"][0].update(name="d"), [
            "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"]),
        (init(), init_cpu("2"), []),
        (init(resizePolicy=POLICY), init_cpu("2"), []),
        (init(restartPolicy="Always", resizePolicy=RESTART), init_cpu("2"), []),
        (init(), lambda spec: spec["initContainers"][0].update(image="other"), [
            "spec.initContainers[0]: Forbidden: only cpu and memory resources for init or sidecar containers are"
            " mutable"]),
        (init(), lambda spec: spec.pop("initContainers"), [
            "spec.initContainers: Forbidden: initContainers may not be added or removed on resize"]),
        (init(), lambda spec: spec["initContainers"][0]["resources"]["requests"].pop("cpu"), [
            "spec.initContainers[0].resources.requests: Forbidden: resource requests cannot be removed"]),
        ({"resources": BURSTABLE}, lambda spec: spec["resources"]["requests"].update(cpu="2"), []),
        ({"resources": BURSTABLE}, lambda spec: spec["resources"]["requests"].pop("memory"), [
            "spec.resources.requests: Forbidden: pod-level resource requests cannot be removed"]),
        ({"os": {"name": "windows"}}, put("requests", cpu="1"), [": Forbidden: windows pods cannot be resized"]),
    ],
)  # fmt: skip
def test_changes(before: Object, change: Change, expected: list[str]) -> None:
    assert resized(before, change) == expected


def test_nodes_that_cannot_resize_are_known_by_what_they_tell() -> None:
    running: Object = {"name": "c", "state": {"running": {}}}
    change = put("requests", cpu="2", memory="1Gi")
    assert resized(sized(**BURSTABLE), change, {"containerStatuses": [running]}) == [
        "spec: Forbidden: Pod running on node without support for resize"
    ]
    assert resized(sized(**BURSTABLE), change, {"containerStatuses": [{**running, "resources": {}}]}) == []


def test_a_static_pods_mirror_keeps_its_size() -> None:
    said = resized(sized(**BURSTABLE), put("requests", cpu="2"), annotations={"kubernetes.io/config.mirror": "x"})
    assert said == [": Forbidden: static pods cannot be resized"]
