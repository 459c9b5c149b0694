"""Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers: what is refused, word by word."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from machinery.api.resource import Object
from tests.kind_rules import lines, on_create, on_update, rules_of

NAMES = ("deployments", "replicasets", "statefulsets", "daemonsets")
APPS = {name: rules_of("apps", "v1", name) for name in NAMES}
CONTROLLERS = rules_of("", "v1", "replicationcontrollers")
LABELS = {"matchLabels": {"a": "b"}}
NO_MATCH = "`selector` does not match template `labels`"
PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for"
    " validation is '[0-9]+%')"
)


def workload(spec: Object | None = None, pod: Object | None = None, labels: Object | None = None) -> Object:
    template = {
        "metadata": {"labels": {"a": "b"} if labels is None else labels},
        "spec": {"containers": [{"name": "c", "image": "i"}], **(pod or {})},
    }
    return {"metadata": {"name": "w"}, "spec": {"selector": LABELS, "template": template, **(spec or {})}}


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_one_is_sound(name: str) -> None:
    assert on_create(APPS[name], workload()) == []
    assert on_update(APPS[name], workload(), workload()) == []


@pytest.mark.parametrize(
    ("name", "called", "said"),
    [
        ("deployments", "deployment", "ReplicaSet"),
        ("replicasets", "deployment", "ReplicaSet"),
        ("statefulsets", "statefulset", "StatefulSet"),
        ("daemonsets", "daemonset", "DaemonSet"),
    ],
)
def test_selector_and_template(name: str, called: str, said: str) -> None:
    rules = APPS[name]
    fit = f'spec.template.metadata.labels: Invalid value: {{"a":"c"}}: {NO_MATCH}'
    assert on_create(rules, workload(labels={"a": "c"})) == [fit]
    missing = [] if name == "daemonsets" else ["spec.selector: Required value"]
    found = on_create(rules, workload({"selector": None}))
    assert found == [*missing, f'spec.template.metadata.labels: Invalid value: {{"a":"b"}}: {NO_MATCH}']
    empty = f"spec.selector: Invalid value: {{}}: empty selector is invalid for {called}"
    assert on_create(rules, workload({"selector": {}})) == [empty]
    odd = {"matchExpressions": [{"key": "a", "operator": "Odd"}]}
    first = 'spec.selector.matchExpressions[0].operator: Invalid value: "Odd": not a valid selector operator'
    assert on_create(rules, workload({"selector": odd}))[0] == first
    assert on_create(rules, workload(pod={"restartPolicy": "Never", "activeDeadlineSeconds": 1})) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        f"spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in {said} is not Supported",
    ]
    assert on_update(rules, workload({"selector": {"matchLabels": {"a": "b", "c": "d"}}}), workload())[-1] in (
        'spec.selector: Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable',
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template',"
        " 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are"
        " forbidden",
    )


def rolling(**values: Any) -> Object:
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": values}}


MISSING, EXTRA = "spec.strategy.rollingUpdate.maxUnavailable: ", "spec.strategy.rollingUpdate.maxSurge: "


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"replicas": -1, "minReadySeconds": -1, "revisionHistoryLimit": -1}, [
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
        ]),
        ({"progressDeadlineSeconds": 5, "minReadySeconds": 5}, [
            "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"]),
        (rolling(maxUnavailable=0, maxSurge=0), [MISSING + "Invalid value: 0: may not be 0 when `maxSurge` is 0"]),
        (rolling(maxUnavailable="101%", maxSurge="300%"), [
            MISSING + 'Invalid value: "101%": must not be greater than 100%']),
        (rolling(maxUnavailable=-1, maxSurge="x"), [
            MISSING + "Invalid value: -1: must be greater than or equal to 0",
            EXTRA + f'Invalid value: "x": {PERCENT}',
        ]),
        ({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}, [
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"]),
        ({"strategy": {"type": "Odd"}}, [
            'spec.strategy: Unsupported value: {"Type":"Odd","RollingUpdate":null}: supported values: "Recreate",'
            ' "RollingUpdate"']),
    ],
)  # fmt: skip
def test_a_deployment(spec: Object, expected: list[str]) -> None:
    assert on_create(APPS["deployments"], workload(spec)) == expected


def daemon(**values: Any) -> Object:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": values}}


OF_DAEMON = "spec.updateStrategy.rollingUpdate"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (daemon(maxUnavailable=0, maxSurge="10%"), []),
        (daemon(maxUnavailable=1, maxSurge=1), [
            f"{OF_DAEMON}.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"]),
        (daemon(maxUnavailable=0, maxSurge=0), [
            f"{OF_DAEMON}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"]),
        (daemon(maxUnavailable=0, maxSurge="101%"), [
            f'{OF_DAEMON}.maxSurge: Invalid value: "101%": must not be greater than 100%']),
        ({"updateStrategy": {"type": "Odd"}}, [
            'spec.updateStrategy: Unsupported value: {"Type":"Odd","RollingUpdate":null}: supported values:'
            ' "RollingUpdate", "OnDelete"']),
        ({"minReadySeconds": -1, "revisionHistoryLimit": -1}, [
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"]),
    ],
)  # fmt: skip
def test_a_daemon_set(spec: Object, expected: list[str]) -> None:
    assert on_create(APPS["daemonsets"], workload(spec)) == expected


CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def stateful(kind: str, **values: Any) -> Object:
    return {"updateStrategy": {"type": kind, "rollingUpdate": values}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"volumeClaimTemplates": [CLAIM]}, []),
        ({"podManagementPolicy": "Odd"}, [
            'spec.podManagementPolicy: Invalid value: "Odd": must be \'OrderedReady\' or \'Parallel\'']),
        ({"updateStrategy": {"type": "Odd"}}, [
            'spec.updateStrategy: Invalid value: {"Type":"Odd","RollingUpdate":null}: must be \'RollingUpdate\' or'
            " 'OnDelete'"]),
        (stateful("OnDelete", partition=1), [
            'spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}: only allowed for'
            " updateStrategy 'RollingUpdate'"]),
        (stateful("RollingUpdate", partition=-1, maxUnavailable=0), [
            f"{OF_DAEMON}.partition: Invalid value: -1: must be greater than or equal to 0",
            f"{OF_DAEMON}.maxUnavailable: Invalid value: 0: cannot be 0"]),
        ({"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Odd"}}, [
            'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Odd": supported values:'
            ' "Retain", "Delete"']),
        ({"replicas": -1, "minReadySeconds": -1, "ordinals": {"start": -1}}, [
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"]),
        ({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}, [
            "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
            "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"]),
    ],
)  # fmt: skip
def test_a_stateful_set(spec: Object, expected: list[str]) -> None:
    assert on_create(APPS["statefulsets"], workload(spec)) == expected


def test_containers_of_a_stateful_set_mount_its_claims() -> None:
    mounts = [{"name": "data", "mountPath": "/data"}]
    pod = {"containers": [{"name": "c", "image": "i", "volumeMounts": mounts}]}
    assert on_create(APPS["statefulsets"], workload({"volumeClaimTemplates": [CLAIM]}, pod)) == []
    assert on_create(APPS["statefulsets"], workload({}, pod)) == [
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"'
    ]


def test_a_stateful_sets_service_is_judged_when_it_is_made() -> None:
    odd = workload({"serviceName": "a.b"})
    assert on_create(APPS["statefulsets"], odd) == ['spec.serviceName: Invalid value: "a.b": must not contain dots']
    assert on_update(APPS["statefulsets"], odd, odd) == []


def test_warnings_of_workloads() -> None:
    made = workload({"revisionHistoryLimit": -1, "volumeClaimTemplates": [copy.deepcopy(CLAIM)]})
    made["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = "1500m"
    found = APPS["statefulsets"].warnings(made)
    assert found[-2:] == [
        'spec.volumeClaimTemplates[0].Spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must'
        " be an integer",
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended",
    ]
    made["metadata"]["name"] = "a.b"
    assert [each for each in APPS["deployments"].warnings(made) if each.startswith("metadata.name")] == [
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label"
        " is recommended: [must not contain dots]"
    ]


def test_a_controller() -> None:
    template = workload()["spec"]["template"]
    assert on_create(CONTROLLERS, {"metadata": {"name": "r"}, "spec": {"template": template}}) == []
    assert on_create(CONTROLLERS, {"metadata": {"name": "r"}, "spec": {"replicas": -1}}) == [
        "spec.selector: Required value",
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        "spec.template: Required value",
    ]


MORE = "cannot be greater than status.replicas"


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("deployments", {"replicas": 1, "updatedReplicas": 2, "readyReplicas": 1, "availableReplicas": 2}, [
            f"status.updatedReplicas: Invalid value: 2: {MORE}",
            f"status.availableReplicas: Invalid value: 2: {MORE}",
            "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas"]),
        ("statefulsets", {"replicas": 1, "currentReplicas": -1, "availableReplicas": 1}, [
            "status.currentReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas"]),
        ("replicasets", {"fullyLabeledReplicas": 1}, [f"status.fullyLabeledReplicas: Invalid value: 1: {MORE}"]),
        ("replicasets", {"replicas": -1}, [
            "status.replicas: Invalid value: -1: must be greater than or equal to 0",
            f"status.fullyLabeledReplicas: Invalid value: 0: {MORE}",
            f"status.readyReplicas: Invalid value: 0: {MORE}",
            f"status.availableReplicas: Invalid value: 0: {MORE}"]),
        ("daemonsets", {"numberReady": -1}, [
            "status.numberReady: Invalid value: -1: must be greater than or equal to 0"]),
    ],
)  # fmt: skip
def test_a_workloads_status(name: str, status: Object, expected: list[str]) -> None:
    assert lines(APPS[name].validate_status({"status": status}, {})) == expected
    if name != "replicasets":
        assert lines(APPS[name].validate_status({"status": {}}, {"status": {"collisionCount": 1}})) == [
            "status.collisionCount: Invalid value: 0: cannot be decremented"
        ]
