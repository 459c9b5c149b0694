"""What is refused in resources: of containers, of pods as a whole, and in how they are resized."""

from __future__ import annotations

import pytest

from apiserver.rules.pods.pod_qos import qos_class
from machinery.api.resource import Object
from tests.unit.apiserver.pod_examples import LABEL, QUALIFIED, container, pod, refusals, with_container

R = "spec.containers[0].resources"


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"limits": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "1"}}, []),
        ({"limits": {"cpu": "-1"}, "requests": {"cpu": "-1"}}, [
            f'{R}.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
            f'{R}.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0']),
        ({"limits": {"cpu": "1"}, "requests": {"cpu": "1500m"}}, [
            f'{R}.requests: Invalid value: "1500m": must be less than or equal to cpu limit of 1']),
        ({"requests": {"pods": "1"}}, [
            f'{R}.requests[pods]: Invalid value: "pods": must be a standard resource for containers']),
        ({"requests": {"magic": "1"}}, [
            f'{R}.requests[magic]: Invalid value: "magic": must be a standard resource type or fully qualified',
            f'{R}.requests[magic]: Invalid value: "magic": must be a standard resource for containers']),
        ({"requests": {"a b": "1"}}, [
            f'{R}.requests[a b]: Invalid value: "a b": {QUALIFIED}',
            f'{R}.requests[a b]: Invalid value: "a b": must be a standard resource for containers']),
        ({"requests": {"example.com/gpu": "1"}}, [
            f"{R}.limits: Required value: Limit must be set for non overcommitable resources"]),
        ({"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "1"}}, [
            f'{R}.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2']),
        ({"limits": {"example.com/gpu": "1500m"}}, [
            f'{R}.limits[example.com/gpu]: Invalid value: "1500m": must be an integer',
            f'{R}.requests[example.com/gpu]: Invalid value: "1500m": must be an integer']),
        ({"limits": {"requests.example.com/gpu": "1"}}, [
            f'{R}.limits[requests.example.com/gpu]: Invalid value: "requests.example.com/gpu": doesn\'t follow extended'
            " resource name standard",
            f'{R}.requests[requests.example.com/gpu]: Invalid value: "requests.example.com/gpu": doesn\'t follow'
            " extended resource name standard"]),
        ({"limits": {"hugepages-2Mi": "4Mi"}}, [f"{R}: Forbidden: HugePages require cpu or memory"]),
        ({"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}}, [
            f'{R}.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
            f'{R}.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of'
            " hugepages-2Mi"]),
        ({"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}, "requests": {"hugepages-2Mi": "2Mi"}}, [
            f'{R}.requests: Invalid value: "2Mi": must be equal to hugepages-2Mi limit of 4Mi']),
        ({"claims": [{"name": "a"}]}, [
            f'{R}.claims[0]: Not found: "a": must be one of the names in pod.spec.resourceClaims which is empty']),
    ],
)  # fmt: skip
def test_resources_of_containers(resources: Object, expected: list[str]) -> None:
    assert refusals(pod(with_container(resources=resources))) == expected


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([{"name": "x", "request": "one"}, {"name": "x", "request": "two"}, {"name": "y"}], []),
        ([{"name": ""}], ["[0]: Required value"]),
        ([{"name": "x"}, {"name": "x"}], ['[1]: Duplicate value: "x"']),
        ([{"name": "x", "request": "one"}, {"name": "x", "request": "one"}], ['[1]: Duplicate value: "x/one"']),
        ([{"name": "x", "request": "one"}, {"name": "x"}], ['[1]: Duplicate value: "x"']),
        ([{"name": "x", "request": "One"}], [f'[0].request: Invalid value: "One": {LABEL}']),
        ([{"name": "z"}], ['[0]: Not found: "z": must be one of the names in pod.spec.resourceClaims: x, y']),
    ],
)  # fmt: skip
def test_claims_of_containers(claims: list[Object], expected: list[str]) -> None:
    have = [{"name": name, "resourceClaimName": name} for name in ("x", "y")]
    found = refusals(pod({"resourceClaims": have, "containers": [container(resources={"claims": claims})]}))
    assert found == [f"{R}.claims{line}" for line in expected]


P = "spec.containers[0].resizePolicy"


@pytest.mark.parametrize(
    ("policies", "restart", "expected"),
    [
        ([{"resourceName": "cpu", "restartPolicy": "NotRequired"},
          {"resourceName": "memory", "restartPolicy": "RestartContainer"}], "Always", []),
        ([{"resourceName": "cpu", "restartPolicy": "NotRequired"},
          {"resourceName": "cpu", "restartPolicy": "NotRequired"}], "Always", [f'{P}[1]: Duplicate value: "cpu"']),
        ([{"resourceName": "gpu", "restartPolicy": "Soon"}], "Always", [
            f'{P}: Unsupported value: "gpu": supported values: "cpu", "memory"',
            f'{P}: Unsupported value: "Soon": supported values: "NotRequired", "RestartContainer"']),
        ([{"resourceName": "", "restartPolicy": ""}], "Always", [f"{P}: Required value", f"{P}: Required value"]),
        ([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}], "Never", [
            f"{P}: Invalid value: \"RestartContainer\": must be 'NotRequired' when pod `restartPolicy` is 'Never'"]),
    ],
)  # fmt: skip
def test_resize_policies(policies: list[Object], restart: str, expected: list[str]) -> None:
    spec = {"restartPolicy": restart, "containers": [container(resizePolicy=policies)]}
    assert refusals(pod(spec)) == expected


W = "spec.resources"


@pytest.mark.parametrize(
    ("whole", "resources", "expected"),
    [
        ({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}, {"requests": {"cpu": "1"}}, []),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "1500m"}}, [
            f'{W}.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of'
            " 1500m"]),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}, [
            f'{W}.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1']),
        ({"limits": {"ephemeral-storage": "1Gi"}}, {}, [
            f'{W}.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu",'
            ' "hugepages-", "memory"']),
        ({"requests": {"cpu": "1"}, "claims": [{"name": "a"}]}, {}, [
            f"{W}.claims: Forbidden: claims may not be set for Resources at pod-level",
            f'{W}.claims[0]: Not found: "a": must be one of the names in pod.spec.resourceClaims which is empty']),
    ],
)  # fmt: skip
def test_resources_of_pods(whole: Object, resources: Object, expected: list[str]) -> None:
    assert refusals(pod({"resources": whole, "containers": [container(resources=resources)]})) == expected


@pytest.mark.parametrize(
    ("whole", "resources", "expected"),
    [
        ({"limits": {"cpu": "2", "memory": "1Gi"}}, {"requests": {"cpu": "1"}}, {
            "limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}),
        ({"requests": {"cpu": "2"}}, {"limits": {"cpu": "1"}}, {"requests": {"cpu": "2"}}),
        ({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}, {"limits": {"cpu": "1", "hugepages-2Mi": "4Mi"}}, {
            "limits": {"cpu": "2", "hugepages-2Mi": "4Mi"}, "requests": {"cpu": "1", "hugepages-2Mi": "4Mi"}}),
        ({}, {"limits": {"cpu": "1"}}, {}),
    ],
)  # fmt: skip
def test_what_a_pod_has_as_a_whole_follows_from_its_containers(
    whole: Object, resources: Object, expected: Object
) -> None:
    found = pod({"resources": whole, "containers": [container(resources=resources)]})
    assert found["spec"]["resources"] == expected


FULL = {"limits": {"cpu": "1", "memory": "1Gi"}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "BestEffort"),
        ({"containers": [container(resources=FULL)]}, "Guaranteed"),
        ({"containers": [container(resources=FULL), container(name="d")]}, "Burstable"),
        ({"containers": [container(resources={"requests": {"cpu": "1"}})]}, "Burstable"),
        ({"containers": [container(resources=FULL | {"requests": {"cpu": "500m"}})]}, "Burstable"),
        ({"containers": [container(resources={"limits": {"cpu": "0", "memory": "0"}})]}, "BestEffort"),
        ({"initContainers": [container(name="i", resources=FULL)], "containers": [container(resources=FULL)]},
         "Guaranteed"),
        ({"resources": FULL}, "Guaranteed"),
        ({"resources": {"requests": {"cpu": "1"}}}, "Burstable"),
    ],
)  # fmt: skip
def test_quality_of_service(spec: Object, expected: str) -> None:
    assert qos_class(pod(spec)) == expected
