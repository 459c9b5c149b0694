"""What is refused in how containers are probed, hooked, restarted, and run before others."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from tests.unit.apiserver.pod_examples import PORT_CHARS, container, pod, refusals, with_container

C = "spec.containers[0]"
HEADER = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for"
    " validation is '[-A-Za-z0-9]+')"
)
HTTP: Object = {"httpGet": {"port": 80}}
EXEC: Object = {"exec": {"command": ["true"]}}


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ({}, ["P: Required value: must specify a handler type"]),
        (EXEC | HTTP, ["P.httpGet: Forbidden: may not specify more than 1 handler type"]),
        ({"exec": {"command": []}}, ["P.exec.command: Required value"]),
        ({"httpGet": {"port": 0}}, ["P.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive"]),
        ({"httpGet": {"port": "A"}}, [
            f'P.httpGet.port: Invalid value: "A": {PORT_CHARS}',
            'P.httpGet.port: Invalid value: "A": must contain at least one letter (a-z)']),
        ({"httpGet": {"port": 80, "scheme": "FTP"}}, [
            'P.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"']),
        ({"httpGet": {"port": 80, "httpHeaders": [{"name": "X Y", "value": "z"}]}}, [
            f'P.httpGet.httpHeaders: Invalid value: "X Y": {HEADER}']),
        ({"tcpSocket": {"port": 70000}}, [
            "P.tcpSocket.port: Invalid value: 70000: must be between 1 and 65535, inclusive"]),
        ({"grpc": {"port": 0}}, ["P.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive"]),
        (EXEC | {"initialDelaySeconds": -1, "timeoutSeconds": -1, "periodSeconds": -1, "failureThreshold": -1}, [
            "P.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0",
            "P.timeoutSeconds: Invalid value: -1: must be greater than or equal to 0",
            "P.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            "P.failureThreshold: Invalid value: -1: must be greater than or equal to 0"]),
        (EXEC | {"terminationGracePeriodSeconds": 0}, [
            "P.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"]),
        (EXEC | {"successThreshold": 2}, ["P.successThreshold: Invalid value: 2: must be 1"]),
    ],
)  # fmt: skip
def test_probes(probe: Object, expected: list[str]) -> None:
    found = refusals(pod(with_container(livenessProbe=probe)))
    assert found == [line.replace("P", f"{C}.livenessProbe", 1) for line in expected]


def test_a_readiness_probe_may_need_several_successes_but_kills_nothing() -> None:
    probe = EXEC | {"successThreshold": 2, "terminationGracePeriodSeconds": 5}
    assert refusals(pod(with_container(readinessProbe=probe))) == [
        f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes"
    ]


@pytest.mark.parametrize(
    ("hooks", "expected"),
    [
        ({"postStart": {}}, ["postStart: Required value: must specify a handler type"]),
        ({"preStop": {"sleep": {"seconds": 30}}}, []),
        ({"preStop": {"sleep": {"seconds": 0}}}, []),
        ({"preStop": {"sleep": {"seconds": 31}}}, [
            "preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"]),
        ({"preStop": EXEC | {"sleep": {"seconds": 1}}}, [
            "preStop.sleep: Forbidden: may not specify more than 1 handler type"]),
    ],
)  # fmt: skip
def test_hooks(hooks: Object, expected: list[str]) -> None:
    assert refusals(pod(with_container(lifecycle=hooks))) == [f"{C}.lifecycle.{line}" for line in expected]


RULE: Object = {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}
POLICIES = 'supported values: "Always", "Never", "OnFailure"'


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"restartPolicy": "Never", "restartPolicyRules": [RULE]}, []),
        ({"restartPolicy": "Sometimes"}, [f'restartPolicy: Unsupported value: "Sometimes": {POLICIES}']),
        ({"restartPolicyRules": [RULE]}, [
            "restartPolicy: Required value: must specify restartPolicy when restart rules are used"]),
        ({"restartPolicy": "Never", "restartPolicyRules": [RULE] * 21}, [
            "restartPolicyRules: Too many: 21: must have at most 20 items"]),
        ({"restartPolicy": "Never", "restartPolicyRules": [{"action": "Panic"}]}, [
            'restartPolicyRules[0].action: Unsupported value: "Panic": supported values: "Restart",'
            ' "RestartAllContainers"',
            "restartPolicyRules[0].exitCodes: Required value: must be specified"]),
        ({"restartPolicy": "Never", "restartPolicyRules": [
            {"action": "Restart", "exitCodes": {"operator": "Near", "values": [1] * 256}}]}, [
            'restartPolicyRules[0].exitCodes.operator: Unsupported value: "Near": supported values: "In", "NotIn"',
            "restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items"]),
    ],
)  # fmt: skip
def test_restarts(fields: Object, expected: list[str]) -> None:
    assert refusals(pod(with_container(**fields))) == [f"{C}.{line}" for line in expected]
    inits = {"initContainers": [container(name="i", **fields)]}
    assert refusals(pod(inits)) == [f"spec.initContainers[0].{line}" for line in expected]


I = "spec.initContainers[0]"  # noqa: E741
NOT_OF_INITS = "Forbidden: may not be set for init containers without restartPolicy=Always"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "c"}, [f'{I}.name: Duplicate value: "c"']),
        ({"lifecycle": {"preStop": EXEC}, "livenessProbe": EXEC, "readinessProbe": EXEC, "startupProbe": EXEC}, [
            f"{I}.{field}: {NOT_OF_INITS}" for field in ("lifecycle", "livenessProbe", "readinessProbe",
                                                         "startupProbe")]),
        ({"restartPolicy": "Always", "startupProbe": EXEC | {"successThreshold": 3}}, [
            f"{I}.startupProbe.successThreshold: Invalid value: 3: must be 1"]),
        ({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}, [
            f'{I}.resizePolicy[0].restartPolicy: Invalid value: "RestartContainer": must not be set to'
            " 'RestartContainer' for non-sidecar initContainers"]),
        ({"ports": [{"containerPort": 1, "hostPort": 1}, {"containerPort": 2, "hostPort": 1}]}, [
            f'{I}.ports[1].hostPort: Duplicate value: "TCP//1"']),
    ],
)  # fmt: skip
def test_init_containers(fields: Object, expected: list[str]) -> None:
    assert refusals(pod({"initContainers": [container(**{"name": "i", **fields})]})) == expected


def test_containers_have_names_and_host_ports_of_their_own() -> None:
    port = [{"containerPort": 80, "hostPort": 80}]
    found = refusals(pod({"containers": [container(ports=port), container(ports=port)]}))
    assert found == [
        'spec.containers[1].name: Duplicate value: "c"',
        'spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//80"',
    ]
