"""Volumes, claims, classes, drivers and attachments: what is refused and warned of, word by word."""

from __future__ import annotations

from typing import Any

import pytest

from machinery.api.resource import Object
from tests.kind_rules import lines, on_create, on_update, rules_of

VOLUMES, CLAIMS = rules_of("", "v1", "persistentvolumes"), rules_of("", "v1", "persistentvolumeclaims")
CLASSES, ATTRIBUTES, DRIVERS, CSI_NODES, CAPACITIES, ATTACHMENTS = (
    rules_of("storage.k8s.io", "v1", name)
    for name in (
        "storageclasses", "volumeattributesclasses", "csidrivers", "csinodes", "csistoragecapacities",
        "volumeattachments",
    )
)  # fmt: skip
RUNTIMES = rules_of("node.k8s.io", "v1", "runtimeclasses")
HOST = {"hostPath": {"path": "/data"}}
AFFINITY = {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}
FIXED = "field is immutable"


def volume(spec: Object) -> Object:
    made = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, **spec}
    return {"metadata": {"name": "v"}, "spec": made}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (HOST, []),
        ({"accessModes": None, "capacity": None}, [
            "spec.accessModes: Required value",
            "spec.capacity: Required value",
            'spec.capacity: Unsupported value: null: supported values: "storage"',
            "spec: Required value: must specify a volume type"]),
        ({**HOST, "accessModes": ["ReadWriteOncePod", "ReadWriteOnce", "Odd"]}, [
            'spec.accessModes: Unsupported value: "Odd": supported values: "ReadOnlyMany", "ReadWriteMany",'
            ' "ReadWriteOnce", "ReadWriteOncePod"',
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"]),
        ({**HOST, "capacity": {"storage": "-1"}}, [
            "spec.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
            'spec.capacity[storage]: Invalid value: "-1": must be greater than zero']),
        ({**HOST, "nfs": {"server": "s", "path": "/p"}, "volumeMode": "Odd", "persistentVolumeReclaimPolicy": "Odd"}, [
            'spec.persistentVolumeReclaimPolicy: Unsupported value: "Odd": supported values: "Delete", "Recycle",'
            ' "Retain"',
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
            'spec.volumeMode: Unsupported value: "Odd": supported values: "Block", "Filesystem"']),
        ({"hostPath": {"path": "/.//"}, "persistentVolumeReclaimPolicy": "Recycle"}, [
            "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"]),
        ({"hostPath": {"path": "/a/../b"}}, ["spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"]),
        ({"local": {"path": "/a"}}, ["spec.nodeAffinity: Required value: Local volume requires node affinity"]),
        ({"local": {"path": "/a"}, "nodeAffinity": AFFINITY}, []),
        ({**HOST, "nodeAffinity": {}}, [
            "spec.nodeAffinity.required: Required value: must specify required node constraints"]),
        ({"nfs": {"path": "a"}}, [
            "spec.nfs.server: Required value",
            'spec.nfs.path: Invalid value: "a": must be an absolute path']),
        ({"csi": {"driver": "a.b", "nodePublishSecretRef": {"name": "s"}}}, [
            "spec.csi.volumeHandle: Required value", "spec.csi.nodePublishSecretRef.namespace: Required value"]),
        ({"cinder": {"volumeID": "v", "secretRef": {"name": "s"}}}, [
            "spec.cinder.secretRef.namespace: Required value"]),
        ({**HOST, "volumeAttributesClassName": ""}, [
            "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
            "spec.csi: Required value: has to be specified when using volumeAttributesClassName"]),
    ],
)  # fmt: skip
def test_a_new_volume(spec: Object, expected: list[str]) -> None:
    assert on_create(VOLUMES, volume(spec)) == expected


def test_of_a_volume_little_may_change() -> None:
    old = volume({**HOST, "nodeAffinity": AFFINITY})
    new = volume({"hostPath": {"path": "/other"}, "volumeMode": "Block", "persistentVolumeReclaimPolicy": "Delete"})
    found = on_update(VOLUMES, new, old)
    assert found[0].startswith(
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@ -2,7 +2,7"
    )
    assert '-  "Path": "/data",\n+  "Path": "/other",\n' in found[0]
    assert found[1:] == [
        f'volumeMode: Invalid value: "Block": {FIXED}',
        f"nodeAffinity: Invalid value: null: {FIXED}, except for updating from beta label to GA",
    ]


def test_a_volumes_nodes_may_get_the_names_that_last() -> None:
    def placed(key: str) -> Object:
        terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": ["z"]}]}]
        return volume({**HOST, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}})

    old = placed("failure-domain.beta.kubernetes.io/zone")
    assert on_update(VOLUMES, placed("topology.kubernetes.io/zone"), old) == []
    assert on_update(VOLUMES, placed("other"), old)[0].startswith("nodeAffinity: Invalid value: ")
    assert VOLUMES.warnings(old) == [
        "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key:"
        ' failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ]
    recycled = volume({"rbd": {}, "persistentVolumeReclaimPolicy": "Recycle"})
    assert VOLUMES.warnings(recycled) == [
        "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended"
        " approach is to use dynamic provisioning.",
        "spec.rbd: deprecated in v1.28, non-functional in v1.31+",
    ]


SNAPSHOT = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}


OLD, NEW = ({"volume.beta.kubernetes.io/storage-class": name} for name in ("old", "new"))


def claim(spec: Object, status: Object | None = None, **annotations: str) -> Object:
    made = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"metadata": {"name": "c", "annotations": annotations}, "spec": made, "status": status or {}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"dataSource": SNAPSHOT}, []),
        ({"resources": {"requests": {"storage": "-1"}}}, [
            'spec.resources[storage]: Invalid value: "-1": must be greater than zero']),
        ({"volumeMode": "Odd", "storageClassName": "A"}, [
            'spec.storageClassName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case'
            " alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g."
            " 'example.com', regex used for validation is"
            " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            'spec.volumeMode: Unsupported value: "Odd": supported values: "Block", "Filesystem"']),
        ({"dataSourceRef": {"kind": "Odd"}}, [
            "spec.dataSource.name: Required value",
            'spec.dataSource: Invalid value: "Odd": must be \'PersistentVolumeClaim\' when referencing the default'
            " apiGroup",
            "spec.dataSourceRef.name: Required value",
            'spec.dataSourceRef: Invalid value: "Odd": must be \'PersistentVolumeClaim\' when referencing the default'
            " apiGroup"]),
        ({"dataSource": SNAPSHOT, "dataSourceRef": {**SNAPSHOT, "name": "t"}}, [
            "spec: Invalid value: {}: must match dataSourceRef"]),
    ],
)  # fmt: skip
def test_a_new_claim(spec: Object, expected: list[str]) -> None:
    assert on_create(CLAIMS, claim(spec)) == expected


def test_a_claim_says_its_source_in_both_ways() -> None:
    made = claim({"dataSource": SNAPSHOT})
    CLAIMS.prepare_create(made)
    assert made["spec"]["dataSourceRef"] == SNAPSHOT
    odd = claim({"dataSource": {"apiGroup": "a.b", "kind": "Odd", "name": "o"}})
    CLAIMS.prepare_create(odd)
    assert "dataSource" not in odd["spec"]
    far = claim({"dataSourceRef": {**SNAPSHOT, "namespace": "n"}})
    CLAIMS.prepare_create(far)
    assert "dataSourceRef" not in far["spec"]


BOUND = {"phase": "Bound", "capacity": {"storage": "1Gi"}}


def grown(size: str) -> Object:
    return claim({"resources": {"requests": {"storage": size}}}, BOUND)


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (grown("3Gi"), grown("2Gi"), []),
        (grown("1500Mi"), grown("2Gi"), []),
        (grown("1Gi"), grown("2Gi"), [
            "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]),
        (claim({"volumeAttributesClassName": "a"}, BOUND), claim({}, BOUND), []),
        (claim({}, BOUND), claim({"volumeAttributesClassName": "a"}, BOUND), [
            "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"]),
        (claim({}, **NEW), claim({}, **OLD), [
            "metadata.annotations[volume.beta.kubernetes.io/storage-class]: Invalid value: \"new\": field is immutable"
        ]),
        (claim({"storageClassName": "old"}, **OLD), claim({}, **OLD), []),
    ],
)  # fmt: skip
def test_a_changed_claim(new: Object, old: Object, expected: list[str]) -> None:
    found = on_update(CLAIMS, new, old)
    assert [line for line in found if not line.startswith("spec: Forbidden: spec is immutable")] == expected


def test_a_claims_status() -> None:
    status = {
        "capacity": {"storage": "-1"},
        "allocatedResourceStatuses": {"cpu": "Odd"},
        "allocatedResources": {"storage": "-1"},
    }
    assert lines(CLAIMS.validate_status({"status": status}, {})) == [
        "status.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
        'status.allocatedResourceStatus: Unsupported value: "cpu": supported values: "storage"',
        'status.allocatedResourceStatus: Unsupported value: "cpu": supported values: "ControllerResizeInProgress",'
        ' "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"',
        "status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity",
    ]
    assert CLAIMS.warnings(claim({"resources": {"requests": {"storage": "1500m"}}}, **OLD)) == [
        'metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName"'
        " attribute instead",
        'spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer',
    ]


def test_classes() -> None:
    topology = {"matchLabelExpressions": [{"key": "a", "values": ["x", "x"]}, {"key": "a", "values": []}]}
    made = {"provisioner": "", "parameters": {"": "x"}, "reclaimPolicy": "Odd", "volumeBindingMode": "Odd"}
    assert on_create(CLASSES, {**made, "allowedTopologies": [topology, topology]}) == [
        "provisioner: Required value",
        'parameters: Invalid value: "": field can not be empty.',
        'reclaimPolicy: Unsupported value: "Odd": supported values: "Delete", "Retain"',
        'volumeBindingMode: Unsupported value: "Odd": supported values: "Immediate", "WaitForFirstConsumer"',
        'allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "x"',
        "allowedTopologies[0].matchLabelExpressions[1].values: Required value",
        'allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "a"',
        'allowedTopologies[1].matchLabelExpressions[0].values[1]: Duplicate value: "x"',
        "allowedTopologies[1].matchLabelExpressions[1].values: Required value",
        'allowedTopologies[1].matchLabelExpressions[1].key: Duplicate value: "a"',
        'allowedTopologies[1].matchLabelExpressions: Duplicate value: ""',
    ]
    old = {"provisioner": "a.b/c", "parameters": {"a": "b"}}
    assert on_update(CLASSES, {"provisioner": "a.b/d", "volumeBindingMode": "WaitForFirstConsumer"}, old) == [
        "parameters: Forbidden: updates to parameters are forbidden.",
        "provisioner: Forbidden: updates to provisioner are forbidden.",
        f'volumeBindingMode: Invalid value: "WaitForFirstConsumer": {FIXED}',
    ]
    assert on_create(ATTRIBUTES, {"driverName": "a.b"}) == [
        "parameters: Required value: must contain at least one key/value pair"
    ]
    assert on_update(ATTRIBUTES, {"driverName": "c.d", "parameters": {"a": "b"}}, {"driverName": "a.b"}) == [
        "driverName: Forbidden: updates to driverName are forbidden.",
        "parameters: Forbidden: updates to parameters are forbidden.",
    ]


def driver(**spec: Any) -> Object:
    return {"metadata": {"name": "d"}, "spec": spec}


def test_drivers() -> None:
    assert on_create(DRIVERS, driver()) == []
    tokens = [{"audience": "a", "expirationSeconds": 599}, {"audience": "a"}, {"expirationSeconds": 1 << 33}]
    odd = driver(
        fsGroupPolicy="Odd", tokenRequests=tokens, volumeLifecycleModes=["Odd"], nodeAllocatableUpdatePeriodSeconds=9
    )
    assert on_create(DRIVERS, odd) == [
        'spec.fsGroupPolicy: Unsupported value: "Odd": supported values: "File", "None", "ReadWriteOnceWithFSType"',
        "spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
        'spec.tokenRequests[1].audience: Duplicate value: "a"',
        "spec.tokenRequests[2].expirationSeconds: Invalid value: 8589934592: may not specify a duration larger than"
        " 2^32 seconds",
        'spec.volumeLifecycleModes: Unsupported value: "Odd": supported values: "Persistent", "Ephemeral"',
        "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
    ]
    changed = driver(attachRequired=False, volumeLifecycleModes=["Ephemeral"], serviceAccountTokenInSecrets=True)
    assert on_update(DRIVERS, changed, driver()) == [
        "spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no"
        " tokenRequests are specified",
        f"spec.attachedRequired: Invalid value: false: {FIXED}",
        f'spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: {FIXED}',
    ]


def test_what_nodes_and_storage_tell() -> None:
    made = driver(drivers=[{"name": "a.b", "nodeID": "n" * 257, "topologyKeys": ["a", "a"]}, {"name": "a.b"}])
    assert on_create(CSI_NODES, made) == [
        f'spec.drivers[0].nodeID: Invalid value: "{"n" * 257}": must be 256 characters or less',
        'spec.drivers[0]: Duplicate value: "a"',
        "spec.drivers[1].nodeID: Required value",
        'spec.drivers[1].name: Duplicate value: "a.b"',
    ]
    old = driver(drivers=[{"name": "a.b", "nodeID": "n", "allocatable": {"count": 1}}])
    assert on_update(CSI_NODES, driver(drivers=[{"name": "a.b", "nodeID": "n"}]), old) == []
    assert on_update(CSI_NODES, driver(drivers=[{"name": "a.b", "nodeID": "m"}]), old) == [
        f'spec.drivers: Invalid value: {{"Name":"a.b","NodeID":"m","TopologyKeys":null,"Allocatable":null}}: {FIXED}'
    ]
    assert on_create(CAPACITIES, {"storageClassName": "c", "capacity": "-1"}) == [
        'capacity: Invalid value: "-1": must be greater than or equal to 0'
    ]
    assert on_update(CAPACITIES, {"storageClassName": "d"}, {"storageClassName": "c"}) == [
        f'storageClassName: Invalid value: "d": {FIXED}'
    ]


def test_attachments() -> None:
    one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    assert on_create(ATTACHMENTS, driver(attacher="a.b", nodeName="n", source={})) == [
        f"spec.source: Required value: {one}"
    ]
    inline = {"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}, "claimRef": {"a": 1}}}
    assert on_create(ATTACHMENTS, driver(attacher="a.b", nodeName="n", source=inline)) == [
        "spec.source.inlineVolumeSpec.claimRef: Forbidden: may not be specified in the context of inline volumes",
        "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
    ]
    old = driver(attacher="a.b", nodeName="n", source={"persistentVolumeName": "v"})
    new = driver(attacher="a.b", nodeName="m", source={"persistentVolumeName": "v"})
    assert on_update(ATTACHMENTS, new, old) == [
        'spec: Invalid value: {"Attacher":"a.b","Source":{"PersistentVolumeName":"v","InlineVolumeSpec":null},'
        f'"NodeName":"m"}}: {FIXED}'
    ]


def test_runtimes() -> None:
    toleration = {"key": "a", "operator": "Exists"}
    scheduling = {"nodeSelector": {"beta.kubernetes.io/os": "linux"}, "tolerations": [toleration, toleration]}
    made = {"metadata": {"name": "r"}, "handler": "h", "scheduling": scheduling}
    assert on_create(RUNTIMES, made) == [
        'scheduling.tolerations[1]: Duplicate value: {"Key":"a","Operator":"Exists","Value":"","Effect":"",'
        '"TolerationSeconds":null}'
    ]
    assert RUNTIMES.warnings(made) == [
        'scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead'
    ]
    assert on_create(RUNTIMES, {"handler": "h", "overhead": {"podFixed": {"cpu": "-1"}}}) == [
        'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'
    ]
