"""What is refused in containers: names, ports, environments, mounts, devices."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from tests.unit.apiserver.pod_examples import (
    LABEL,
    PORT_CHARS,
    QUALIFIED,
    SUBDOMAIN,
    VARIABLE,
    container,
    pod,
    refusals,
    with_container,
)

C = "spec.containers[0]"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, [f"{C}.name: Required value"]),
        ({"name": "A"}, [f'{C}.name: Invalid value: "A": {LABEL}']),
        ({"name": "a.b"}, [f'{C}.name: Invalid value: "a.b": must not contain dots']),
        ({"image": ""}, [f"{C}.image: Required value"]),
        ({"image": " nginx"}, [
            f'{C}.image: Invalid value: " nginx": must not have leading or trailing whitespace']),
        ({"imagePullPolicy": "Often"}, [
            f'{C}.imagePullPolicy: Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never"']),
        ({"terminationMessagePolicy": "Shout"}, [
            f'{C}.terminationMessagePolicy: Unsupported value: "Shout": supported values: "File",'
            ' "FallbackToLogsOnError"']),
        ({"name": "A", "image": "", "imagePullPolicy": "Often"}, [
            f'{C}.name: Invalid value: "A": {LABEL}',
            f"{C}.image: Required value",
            f'{C}.imagePullPolicy: Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never"']),
    ],
)  # fmt: skip
def test_what_all_have(fields: Object, expected: list[str]) -> None:
    assert refusals(pod(with_container(**fields))) == expected


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}], []),
        ([{"containerPort": 0}], ["ports[0].containerPort: Required value"]),
        ([{"containerPort": 70000}], [
            "ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"]),
        ([{"containerPort": 80, "hostPort": -1}], [
            "ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive"]),
        ([{"containerPort": 80, "protocol": "ICMP"}], [
            'ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"']),
        ([{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}], [
            'ports[1].name: Duplicate value: "a"']),
        ([{"containerPort": 80, "name": "a-very-long-name"}], [
            'ports[0].name: Invalid value: "a-very-long-name": must be no more than 15 characters']),
        ([{"containerPort": 80, "name": "1_"}], [
            f'ports[0].name: Invalid value: "1_": {PORT_CHARS}',
            'ports[0].name: Invalid value: "1_": must contain at least one letter (a-z)']),
        ([{"containerPort": 80, "name": "-a--b"}], [
            'ports[0].name: Invalid value: "-a--b": must not contain consecutive hyphens',
            'ports[0].name: Invalid value: "-a--b": must not begin or end with a hyphen']),
        ([{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81, "hostPort": 8080}], [
            'ports[1].hostPort: Duplicate value: "TCP//8080"']),
        ([{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81, "hostPort": 8080, "hostIP": "1.1.1.1"}], []),
    ],
)  # fmt: skip
def test_ports(ports: list[Object], expected: list[str]) -> None:
    assert refusals(pod(with_container(ports=ports))) == [f"{C}.{line}" for line in expected]


def test_on_the_hosts_network_ports_are_the_hosts() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 82}]
    found = pod({"hostNetwork": True, "containers": [container(ports=ports)]})
    assert found["spec"]["containers"][0]["ports"][0]["hostPort"] == 80
    assert refusals(found) == [
        f"{C}.ports[1].hostPort: Invalid value: 82: must match `containerPort` when `hostNetwork` is true"
    ]


def source(**sources: Object) -> list[Object]:
    return [{"name": "A", "valueFrom": sources}]


V = "env[0].valueFrom"
IN_ENV = (
    'supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",'
    ' "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
)
ONE_OF = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
RESOURCES = (
    'supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu",'
    ' "requests.ephemeral-storage", "requests.memory"'
)
UNITS = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"
CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or"
    " 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ([{"name": "a b-c.d/é"}], [f'env[0].name: Invalid value: "a b-c.d/é": {VARIABLE}']),
        ([{"name": "1 odd:name"}], []),
        ([{"name": "A=B"}], [f'env[0].name: Invalid value: "A=B": {VARIABLE}']),
        ([{"name": "", "value": "x"}], ["env[0].name: Required value"]),
        (source(), [f'{V}: Invalid value: "": {ONE_OF}']),
        ([{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}], [
            f'{V}: Invalid value: "": may not be specified when `value` is not empty']),
        (source(fieldRef={"fieldPath": "metadata.name"}, secretKeyRef={"name": "s", "key": "k"}), [
            f'{V}: Invalid value: "": may not have more than one field specified at a time']),
        (source(fieldRef={"fieldPath": ""}), [f"{V}.fieldRef.fieldPath: Required value"]),
        (source(fieldRef={"fieldPath": "metadata.name", "apiVersion": "v2"}), [
            f'{V}.fieldRef.fieldPath: Invalid value: "metadata.name": error converting fieldPath: unsupported pod'
            " version: v2"]),
        (source(fieldRef={"fieldPath": "spec.what"}), [
            f'{V}.fieldRef.fieldPath: Invalid value: "spec.what": error converting fieldPath: field label not'
            " supported: spec.what"]),
        (source(fieldRef={"fieldPath": "status.phase"}), [
            f'{V}.fieldRef.fieldPath: Unsupported value: "status.phase": {IN_ENV}']),
        (source(fieldRef={"fieldPath": "metadata.labels"}), [
            f'{V}.fieldRef.fieldPath: Unsupported value: "metadata.labels": {IN_ENV}']),
        (source(fieldRef={"fieldPath": "spec.host"}), []),
        (source(fieldRef={"fieldPath": "metadata.labels['app']"}), []),
        (source(fieldRef={"fieldPath": "metadata.annotations['App/X']"}), []),
        (source(fieldRef={"fieldPath": "metadata.labels['a b']"}), [
            f'{V}.fieldRef: Invalid value: "a b": {QUALIFIED}']),
        (source(fieldRef={"fieldPath": "metadata.name['a']"}), [
            f"{V}.fieldRef.fieldPath: Invalid value: \"metadata.name['a']\": error converting fieldPath: field label"
            " does not support subscript: metadata.name['a']"]),
        (source(resourceFieldRef={"resource": ""}), [f"{V}.resourceFieldRef.resource: Required value"]),
        (source(resourceFieldRef={"resource": "limits.gpu"}), [
            f'{V}.resourceFieldRef.resource: Unsupported value: "limits.gpu": {RESOURCES}']),
        (source(resourceFieldRef={"resource": "limits.hugepages-2Mi", "divisor": "1Mi"}), []),
        (source(resourceFieldRef={"resource": "limits.cpu", "divisor": "10m"}), [
            f'{V}.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 are supported'
            " with the cpu resource"]),
        (source(resourceFieldRef={"resource": "requests.memory", "divisor": "2Mi"}), [
            f'{V}.resourceFieldRef.divisor: Invalid value: "requests.memory": only divisor\'s values {UNITS} are'
            " supported with the memory resource"]),
        (source(resourceFieldRef={"resource": "limits.ephemeral-storage", "divisor": "3"}), [
            f'{V}.resourceFieldRef.divisor: Invalid value: "limits.ephemeral-storage": only divisor\'s values {UNITS}'
            " are supported with the local ephemeral storage resource"]),
        (source(configMapKeyRef={"name": "C", "key": "a b"}), [
            f'{V}.configMapKeyRef.name: Invalid value: "C": {SUBDOMAIN}',
            f'{V}.configMapKeyRef.key: Invalid value: "a b": {CONFIG_KEY}']),
        (source(secretKeyRef={"name": "s"}), [f"{V}.secretKeyRef.key: Required value"]),
        (source(fileKeyRef={"key": "", "volumeName": "", "path": ""}), [
            f"{V}.fileKeyRef.key: Required value",
            f"{V}.fileKeyRef.volumeName: Required value",
            f"{V}.fileKeyRef.path: Required value",
            f'{V}.fileKeyRef.volumeName: Not found: ""']),
        (source(fileKeyRef={"key": "A=", "volumeName": "disk", "path": "../x"}), [
            f'{V}.fileKeyRef.key: Invalid value: "A=": {VARIABLE}',
            f"{V}.fileKeyRef.path: Invalid value: \"../x\": must not contain '..'",
            f'{V}.fileKeyRef.volumeName: Invalid value: "disk": referenced volume must be of type emptyDir']),
        (source(fileKeyRef={"key": "A", "volumeName": "v", "path": "x.env"}), []),
    ],
)  # fmt: skip
def test_variables(variables: list[Object], expected: list[str]) -> None:
    assert refusals(pod(with_container(env=variables))) == [f"{C}.{line}" for line in expected]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([{"prefix": "A_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}], []),
        ([{"prefix": "A="}], [
            f'envFrom[0].prefix: Invalid value: "A=": {VARIABLE}',
            'envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`']),
        ([{"configMapRef": {"name": "c"}, "secretRef": {"name": "s"}}], [
            'envFrom: Invalid value: "": may not have more than one field specified at a time']),
        ([{"configMapRef": {}}], ["envFrom[0].configMapRef.name: Required value"]),
        ([{"secretRef": {"name": "S"}}], [f'envFrom[0].secretRef.name: Invalid value: "S": {SUBDOMAIN}']),
        ([{"secretRef": {"name": "ends-"}}], []),
    ],
)  # fmt: skip
def test_environments_from_elsewhere(sources: list[Object], expected: list[str]) -> None:
    assert refusals(pod(with_container(envFrom=sources))) == [f"{C}.{line}" for line in expected]


M = "volumeMounts"


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ([{"name": "", "mountPath": "/a"}], [f"{M}[0].name: Required value", f'{M}[0].name: Not found: ""']),
        ([{"name": "nope", "mountPath": "/a"}], [f'{M}[0].name: Not found: "nope"']),
        ([{"name": "v", "mountPath": ""}], [f"{M}[0].mountPath: Required value"]),
        ([{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}], [
            f'{M}[1].mountPath: Invalid value: "/a": must be unique']),
        ([{"name": "v", "mountPath": "/a", "subPath": "/b"}], [
            f'{M}.subPath: Invalid value: "/b": must be a relative path']),
        ([{"name": "v", "mountPath": "/a", "subPath": "b/../../c"}], [
            f"{M}.subPath: Invalid value: \"b/../../c\": must not contain '..'"]),
        ([{"name": "v", "mountPath": "/a", "subPath": "..b"}], []),
        ([{"name": "v", "mountPath": "/a", "subPath": "b", "subPathExpr": "/$(C)"}], [
            f'{M}[0].subPathExpr: Invalid value: "/$(C)": subPathExpr and subPath are mutually exclusive',
            f'{M}.subPathExpr: Invalid value: "/$(C)": must be a relative path']),
        ([{"name": "v", "mountPath": "/a", "mountPropagation": "Sideways"}], [
            f'{M}.mountPropagation: Unsupported value: "Sideways": supported values: "Bidirectional",'
            ' "HostToContainer", "None"']),
        ([{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}], [
            f"{M}.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged"
            " containers"]),
        ([{"name": "v", "mountPath": "/a", "recursiveReadOnly": "Enabled"}], [
            f"{M}.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"]),
        ([{"name": "v", "mountPath": "/a", "readOnly": True, "recursiveReadOnly": "IfPossible",
           "mountPropagation": "HostToContainer"}], [
            f"{M}.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified"]),
        ([{"name": "v", "mountPath": "/a", "recursiveReadOnly": "Maybe"}], [
            f'{M}.recursiveReadOnly: Unsupported value: "Maybe": supported values: "Disabled", "Enabled",'
            ' "IfPossible"']),
    ],
)  # fmt: skip
def test_mounts(mounts: list[Object], expected: list[str]) -> None:
    assert refusals(pod(with_container(volumeMounts=mounts))) == [f"{C}.{line}" for line in expected]


D = "volumeDevices"


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ([{"name": "disk", "devicePath": "/dev/a"}, {"name": "made", "devicePath": "/dev/b"}], []),
        ([{"name": "", "devicePath": ""}], [
            f"{D}[0].name: Required value", f'{D}[0].name: Not found: ""', f"{D}[0].devicePath: Required value"]),
        ([{"name": "v", "devicePath": "/dev/a"}], [
            f'{D}[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim or Ephemeral'
            " for block mode"]),
        ([{"name": "disk", "devicePath": "/dev/a"}, {"name": "disk", "devicePath": "/dev/a"}], [
            f'{D}[1].name: Invalid value: "disk": must be unique',
            f'{D}[1].devicePath: Invalid value: "/dev/a": must be unique']),
        ([{"name": "disk", "devicePath": "/dev/../a"}], [
            f"{D}[0].devicePath: Invalid value: \"/dev/../a\": can not contain backsteps ('..')"]),
    ],
)  # fmt: skip
def test_devices(devices: list[Object], expected: list[str]) -> None:
    assert refusals(pod(with_container(volumeDevices=devices))) == [f"{C}.{line}" for line in expected]


def test_a_volume_is_mounted_or_a_device() -> None:
    fields = {
        "volumeMounts": [{"name": "disk", "mountPath": "/a"}],
        "volumeDevices": [{"name": "disk", "devicePath": "/a"}],
    }
    assert refusals(pod(with_container(**fields))) == [
        f'{C}.volumeMounts[0].name: Invalid value: "disk": must not already exist in volumeDevices',
        f'{C}.volumeMounts[0].mountPath: Invalid value: "/a": must not already exist as a path in volumeDevices',
        f'{C}.volumeDevices[0].name: Invalid value: "disk": must not already exist in volumeMounts',
        f'{C}.volumeDevices[0].devicePath: Invalid value: "/a": must not already exist as a path in volumeMounts',
    ]
