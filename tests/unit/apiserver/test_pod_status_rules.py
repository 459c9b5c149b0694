"""What is refused in a pod's status, word by word, and what a writer may leave out of it."""

from __future__ import annotations

import copy

import pytest

from apiserver.rules.pods.pod_spec import default_addresses
from apiserver.rules.pods.pod_status_rules import pod_status_warnings, prepare_status, validate_pod_status
from machinery.api.resource import Object
from tests.kind_rules import lines
from tests.unit.apiserver.pod_examples import BAD_IP, QUALIFIED, SUBDOMAIN, container, pod


def written(status: Object, before: Object | None = None, spec: Object | None = None) -> list[str]:
    """What is said when a pod with this spec gets this status in the place of that before."""
    old = pod(spec)
    new = copy.deepcopy(old)
    old["status"].update(before or {})
    new["status"].update(status)
    return lines(validate_pod_status(new, old))


def test_the_class_and_what_was_observed_stay_where_a_writer_leaves_them_out() -> None:
    old = pod()
    ready = {"type": "Ready", "status": "False"}
    old["status"] |= {"observedGeneration": 2, "conditions": [{**ready, "observedGeneration": 2}]}
    new = {**old, "status": {"phase": "Running", "conditions": [{**ready, "status": "True"}, {"type": "Other"}]}}
    prepare_status(new, old)
    assert new["status"] == {
        "phase": "Running",
        "qosClass": "BestEffort",
        "observedGeneration": 2,
        "conditions": [{**ready, "status": "True", "observedGeneration": 2}, {"type": "Other"}],
    }
    assert lines(validate_pod_status(new, old)) == []


@pytest.mark.parametrize(
    "status, expected",
    [
        ({"phase": "Running", "podIPs": [{"ip": "10.1.0.1"}]}, []),
        ({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}]}, []),
        ({"qosClass": "Guaranteed"}, ['qosClass: Invalid value: "Guaranteed": field is immutable']),
        ({"observedGeneration": -1}, ["observedGeneration: Invalid value: -1: must be a non-negative integer"]),
        ({"conditions": [{"type": "Ready"}, {"type": "x.y/Z"}]}, []),
        ({"conditions": [{"type": "a b", "observedGeneration": -2}]}, [
            "conditions[0].observedGeneration: Invalid value: -2: must be a non-negative integer",
            f'conditions[0].Type: Invalid value: "a b": {QUALIFIED}']),
        ({"nominatedNodeName": "n"}, []),
        ({"nominatedNodeName": "N"}, [f'nominatedNodeName: Invalid value: "N": {SUBDOMAIN}']),
        ({"podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}]}, []),
        ({"podIPs": [{"ip": "x"}]}, [f'podIPs[0]: Invalid value: "x": {BAD_IP}']),
        ({"podIPs": [{"ip": "10.1.0.1"}, {"ip": "10.1.0.2"}]}, [
            'podIPs: Invalid value: [{"IP":"10.1.0.1"},{"IP":"10.1.0.2"}]: may specify no more than one IP for each IP'
            " family"]),
        ({"hostIPs": [{"ip": "10.0.0.1"}]}, [
            'hostIPs[0].ip: Invalid value: "10.0.0.1": must be equal to `hostIP`']),
        ({"hostIP": "a", "hostIPs": [{"ip": "a"}]}, [f'hostIPs[0]: Invalid value: "a": {BAD_IP}']),
        ({"resourceClaimStatuses": [{"name": "g", "resourceClaimName": "a"}]}, []),
        ({"resourceClaimStatuses": [{"name": "g"}, {"name": "g"}, {"name": "h", "resourceClaimName": "A"}]}, [
            'resourceClaimStatuses[1].name: Duplicate value: "g"',
            'resourceClaimStatuses[2].name: Invalid value: "h":'
            " must match the name of an entry in `spec.resourceClaims`",
            f'resourceClaimStatuses[2].resourceClaimName: Invalid value: "A": {SUBDOMAIN}']),
    ],
)  # fmt: skip
def test_statuses(status: Object, expected: list[str]) -> None:
    claims = {"resourceClaims": [{"name": "g", "resourceClaimTemplateName": "t"}]}
    assert written(status, spec=claims) == [f"status.{line}" for line in expected]


def test_who_has_a_node_is_nominated_for_none() -> None:
    bound = {"nodeName": "n"}
    assert written({"nominatedNodeName": "m"}, spec=bound) == [
        "status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node"
    ]
    assert written({"nominatedNodeName": "m"}, {"nominatedNodeName": "m"}, bound) == []


ALIVE = "Forbidden: may not be transitioned to non-terminated state"
RUNNING: Object = {"running": {}}
DOES_ON_1 = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]


def ended(code: int = 0) -> Object:
    return {"terminated": {"exitCode": code}}


def of(state: Object, name: str = "c") -> list[Object]:
    return [{"name": name, "state": state}]


@pytest.mark.parametrize(
    "policy, fields, code, is_refused",
    [
        ("Always", {}, 0, False),
        ("OnFailure", {}, 1, False),
        ("OnFailure", {}, 0, True),
        ("Never", {}, 1, True),
        ("Never", {"restartPolicy": "Always"}, 0, False),
        ("Never", {"restartPolicy": "OnFailure"}, 1, False),
        ("Always", {"restartPolicy": "Never"}, 1, True),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": DOES_ON_1}, 1, False),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": DOES_ON_1}, 2, True),
    ],
)
def test_what_has_ended_for_good_does_not_run_again(policy: str, fields: Object, code: int, is_refused: bool) -> None:
    spec = {"restartPolicy": policy, "containers": [container(**fields)]}
    said = written({"containerStatuses": of(RUNNING)}, {"containerStatuses": of(ended(code))}, spec)
    assert said == ([f"status.containerStatuses[0].state: {ALIVE}"] if is_refused else [])
    for state in (ended(code), ended(3)):
        assert written({"containerStatuses": of(state)}, {"containerStatuses": of(ended(code))}, spec) == []
    assert written({"containerStatuses": []}, {"containerStatuses": of(ended(code))}, spec) == []


def test_init_containers_and_those_put_in_end_for_good_too() -> None:
    spec = {"restartPolicy": "Never", "initContainers": [container(name="i")]}
    before = {"initContainerStatuses": of(ended(), "i"), "ephemeralContainerStatuses": of(ended(), "e")}
    after = {"initContainerStatuses": of(RUNNING, "i"), "ephemeralContainerStatuses": of(RUNNING, "e")}
    assert written(after, before, spec) == [
        f"status.initContainerStatuses[0].state: {ALIVE}",
        f"status.ephemeralContainerStatuses[0].state: {ALIVE}",
    ]
    restarts_all = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [7]}}]
    other = container(restartPolicy="Never", restartPolicyRules=restarts_all)
    assert written(after, before, {**spec, "containers": [other]}) == [
        f"status.ephemeralContainerStatuses[0].state: {ALIVE}"
    ]


def device(**fields: object) -> Object:
    return {"resourceID": "d", "health": "Healthy", **fields}


HEALTH = 'supported values: "Healthy", "Unhealthy", "Unknown"'


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"user": {"linux": {"uid": 0, "gid": 2**31 - 1, "supplementalGroups": [1]}}}, []),
        ({"user": {"linux": {"uid": -1, "gid": 2**31, "supplementalGroups": [1, -1]}}}, [
            "user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            "user.linux.gid: Invalid value: 2147483648: must be between 0 and 2147483647, inclusive",
            "user.linux.supplementalGroups[1]: Invalid value: -1: must be between 0 and 2147483647, inclusive"]),
        ({"allocatedResourcesStatus": [{"name": "cpu", "resources": [device()]}, {"name": "claim:g/r"}]}, []),
        ({"allocatedResourcesStatus": [{"name": "a.b/c"}, {"name": "claim:g"}]}, [
            'allocatedResourcesStatus[0].name: Invalid value: "a.b/c": must match one of the container\'s resource'
            " requests",
            'allocatedResourcesStatus[1].name: Invalid value: "claim:g": must match one of the container\'s resource'
            " claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"]),
        ({"allocatedResourcesStatus": [{"name": "cpu", "resources": [device(), device(health="Ill", message="")]}]}, [
            f'allocatedResourcesStatus[0].resources[1].health: Unsupported value: "Ill": {HEALTH}',
            "allocatedResourcesStatus[0].resources[1].message: Required value: must be non-empty if specified",
            'allocatedResourcesStatus[0].resources[1].resourceID: Duplicate value: "d"']),
        ({"allocatedResourcesStatus": [{"name": "cpu", "resources": [device(message="m" * 1025)]}]}, [
            "allocatedResourcesStatus[0].resources[0].message: Too long: may not be more than 1024 bytes"]),
        ({"volumeMounts": [{"volumeStatus": {"image": {"imageRef": "a"}}}, {}]}, []),
        ({"volumeMounts": [{"volumeStatus": {"image": {}}}, {"volumeStatus": {"image": {"imageRef": "a" * 257}}}]}, [
            "volumeMounts[0].volumeStatus.imageVolumeStatus.imageRef: Required value: imageRef must not be empty",
            "volumeMounts[1].volumeStatus.imageVolumeStatus.imageRef: Too long: may not be more than 256 bytes"]),
    ],
)  # fmt: skip
def test_statuses_of_containers(fields: Object, expected: list[str]) -> None:
    asked = {"requests": {"cpu": "1"}, "claims": [{"name": "g", "request": "r"}]}
    spec = {
        "containers": [container(resources=asked)],
        "resourceClaims": [{"name": "g", "resourceClaimTemplateName": "t"}],
    }
    status = {"name": "c", **fields}
    assert written({"containerStatuses": [status]}, spec=spec) == [
        f"status.containerStatuses[0].{line}" for line in expected
    ]


def test_users_and_devices_that_cannot_be() -> None:
    windows = {"os": {"name": "windows"}}
    assert written({"containerStatuses": [{"name": "c", "user": {"linux": {}}}]}, spec=windows) == [
        "status.containerStatuses[0].user.linux: Forbidden: cannot be set for a windows pod"
    ]
    put_in = {"name": "e", "allocatedResourcesStatus": [{"name": "cpu"}]}
    assert written({"ephemeralContainerStatuses": [put_in]}) == [
        "status.ephemeralContainerStatuses[0].allocatedResourcesStatus: Forbidden:"
        " must not be specified in container status"
    ]


@pytest.mark.parametrize(
    ("status", "first", "addresses"),
    [
        ({"podIP": "1.1.1.1"}, "1.1.1.1", ["1.1.1.1"]),
        ({"podIPs": [{"ip": "1.1.1.1"}, {"ip": "::1"}]}, "1.1.1.1", ["1.1.1.1", "::1"]),
        ({"podIP": "1.1.2.1", "podIPs": [{"ip": "1.1.1.1"}, {"ip": "::1"}]}, "1.1.2.1", ["1.1.2.1"]),
        ({"phase": "Running"}, None, []),
    ],
)
def test_a_pods_address_is_the_first_of_its_addresses(status: Object, first: str | None, addresses: list[str]) -> None:
    told = copy.deepcopy(status)
    default_addresses(told)
    assert told.get("podIP") == first
    assert [each["ip"] for each in told.get("podIPs", [])] == addresses


def test_addresses_in_old_forms_are_warned_of() -> None:
    told = {"status": {"podIPs": [{"ip": "1.1.1.1"}, {"ip": "::01"}], "hostIPs": [{"ip": "1.1.1.01"}]}}
    assert pod_status_warnings(told) == [
        'status.podIPs[1].ip: IPv6 address "::01" should be in RFC 5952 canonical format ("::1")',
        'status.hostIPs[0].ip: non-standard IP address "1.1.1.01" will be considered invalid in a future Kubernetes'
        ' release: use "1.1.1.1"',
    ]
