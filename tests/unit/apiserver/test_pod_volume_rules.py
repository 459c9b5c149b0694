"""What is refused in volumes: names, one source for each, and what every source needs."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from tests.unit.apiserver.pod_examples import LABEL, QUALIFIED, SUBDOMAIN, claim_spec, container, pod, refusals

V = "spec.volumes[0]"
MODE = "must be a number between 0 and 0777 (octal), both inclusive"
UP = "must not contain '..'"


def volumes(*sources: Object) -> Object:
    return {"volumes": [{"name": f"v{index}", **source} for index, source in enumerate(sources)]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([{"name": "", "emptyDir": {}}], [f"{V}.name: Required value"]),
        ([{"name": "A", "emptyDir": {}}], [f'{V}.name: Invalid value: "A": {LABEL}']),
        ([{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}], [
            'spec.volumes[1].name: Duplicate value: "a"']),
        ([{"name": "a"}], []),
        ([{"name": "a", "emptyDir": {}, "hostPath": {"path": "/x"}}], [
            f"{V}.hostPath: Forbidden: may not specify more than 1 volume type"]),
        ([{"name": "a", "configMap": {"name": "c"}, "hostPath": {"path": "/x"}, "cephfs": {}}], [
            f"{V}.cephFS: Forbidden: may not specify more than 1 volume type",
            f"{V}.configMap: Forbidden: may not specify more than 1 volume type"]),
        ([{"name": "a", "downwardAPI": {}, "emptyDir": {}}], [
            f"{V}.downwarAPI: Forbidden: may not specify more than 1 volume type"]),
    ],
)  # fmt: skip
def test_a_volume_has_a_name_and_one_source(given: list[Object], expected: list[str]) -> None:
    assert refusals(pod({"volumes": given})) == expected


def test_what_is_unsound_can_t_be_mounted() -> None:
    mounts = [{"name": "v0", "mountPath": "/a"}]
    spec = {**volumes({"hostPath": {"path": ""}}), "containers": [container(volumeMounts=mounts)]}
    assert refusals(pod(spec)) == [
        f"{V}.hostPath.path: Required value",
        'spec.containers[0].volumeMounts[0].name: Not found: "v0"',
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"emptyDir": {"sizeLimit": "-1"}}, [
            "emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"]),
        ({"hostPath": {"path": ""}}, ["hostPath.path: Required value"]),
        ({"hostPath": {"path": "/a/../b"}}, [f'hostPath.path: Invalid value: "/a/../b": {UP}']),
        ({"hostPath": {"path": "/a", "type": "Tape"}}, [
            'hostPath.type: Unsupported value: "Tape": supported values: "", "BlockDevice", "CharDevice", "Directory",'
            ' "DirectoryOrCreate", "File", "FileOrCreate", "Socket"']),
        ({"secret": {"secretName": "", "defaultMode": 512}}, [
            "secret.secretName: Required value", f"secret.defaultMode: Invalid value: 512: {MODE}"]),
        ({"configMap": {"defaultMode": -1}}, [
            "configMap.name: Required value", f"configMap.defaultMode: Invalid value: -1: {MODE}"]),
        ({"secret": {"secretName": "s", "items": [{"key": "", "path": "", "mode": 1000}]}}, [
            "secret.items[0].key: Required value", "secret.items[0].path: Required value",
            f"secret.items[0].mode: Invalid value: 1000: {MODE}"]),
        ({"secret": {"secretName": "s", "items": [{"key": "k", "path": "/a"}, {"key": "k", "path": "a/../b"},
                                                 {"key": "k", "path": "..a"}, {"key": "k", "path": "../a"}]}}, [
            'secret.items[0].path: Invalid value: "/a": must be a relative path',
            f'secret.items[1].path: Invalid value: "a/../b": {UP}',
            "secret.items[2].path: Invalid value: \"..a\": must not start with '..'",
            f'secret.items[3].path: Invalid value: "../a": {UP}']),
        ({"persistentVolumeClaim": {}}, ["persistentVolumeClaim.claimName: Required value"]),
        ({"nfs": {"server": "", "path": "a"}}, [
            "nfs.server: Required value", 'nfs.path: Invalid value: "a": must be an absolute path']),
        ({"csi": {}}, ["csi.driver: Required value"]),
        ({"csi": {"driver": "Ok.Driver", "nodePublishSecretRef": {}}}, [
            "csi.nodePublishSecretRef.name: Required value"]),
        ({"csi": {"driver": "d" * 64}}, ["csi.driver: Too long: may not be more than 63 bytes"]),
        ({"csi": {"driver": "a_b", "nodePublishSecretRef": {"name": "S"}}}, [
            f'csi.driver: Invalid value: "a_b": {SUBDOMAIN}', f'csi.name: Invalid value: "S": {SUBDOMAIN}']),
        ({"image": {"reference": "", "pullPolicy": "Often"}}, [
            "image.reference: Required value",
            'image.pullPolicy: Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never"']),
        ({"image": {"reference": "alpine"}}, []),
        ({"downwardAPI": {"defaultMode": 512, "items": [{"path": "a"}]}}, [
            f"downwardAPI.defaultMode: Invalid value: 512: {MODE}",
            "downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"]),
        ({"downwardAPI": {"items": [{"path": "", "fieldRef": {"fieldPath": "spec.nodeName"}, "mode": 512}]}}, [
            "downwardAPI.path: Required value",
            'downwardAPI.fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values:'
            ' "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"',
            f"downwardAPI.mode: Invalid value: 512: {MODE}"]),
        ({"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]}}, [
            "downwardAPI.resourceFieldRef.containerName: Required value"]),
        ({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"},
                                     "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}}]}}, [
            'downwardAPI: Invalid value: "resource": fieldRef and resourceFieldRef can not be specified'
            " simultaneously"]),
        ({"ephemeral": {}}, ["ephemeral.volumeClaimTemplate: Required value"]),
        ({"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "x", "labels": {"a b": "c"}},
                                                "spec": claim_spec()}}}, [
            f'ephemeral.volumeClaimTemplate.metadata.labels: Invalid value: "a b": {QUALIFIED}',
            "ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set"]),
        ({"ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}}}, [
            "ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required"]),
        ({"gitRepo": {"directory": "/x"}}, [
            "gitRepo.repository: Required value", 'gitRepo.directory: Invalid value: "/x": must be a relative path']),
        ({"gcePersistentDisk": {"partition": 256}}, [
            "persistentDisk.pdName: Required value",
            "persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive"]),
        ({"awsElasticBlockStore": {}}, ["awsElasticBlockStore.volumeID: Required value"]),
        ({"glusterfs": {}}, ["glusterfs.endpoints: Required value", "glusterfs.path: Required value"]),
        ({"rbd": {}}, ["rbd.monitors: Required value", "rbd.image: Required value"]),
        ({"cephfs": {}}, ["cephfs.monitors: Required value"]),
        ({"cinder": {"secretRef": {}}}, [
            "cinder.volumeID: Required value", "cinder.secretRef.name: Required value"]),
        ({"flocker": {}}, ["flocker: Required value: one of datasetName and datasetUUID is required"]),
        ({"flocker": {"datasetName": "a/b", "datasetUUID": "c"}}, [
            'flocker: Invalid value: "resource": datasetName and datasetUUID can not be specified simultaneously',
            "flocker.datasetName: Invalid value: \"a/b\": must not contain '/'"]),
        ({"quobyte": {}}, [
            "quobyte.registry: Required value: must be a host:port pair or multiple pairs separated by commas",
            "quobyte.volume: Required value"]),
        ({"quobyte": {"registry": "a:1,b", "volume": "v"}}, [
            'quobyte.registry: Invalid value: "a:1,b": must be a host:port pair or multiple pairs separated by'
            " commas"]),
        ({"fc": {}}, ["fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]),
        ({"fc": {"targetWWNs": ["a"], "wwids": ["b"]}}, [
            'fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously',
            "fc.lun: Required value: lun is required if targetWWNs is specified"]),
        ({"flexVolume": {"options": {"X.k8s.io/a": "b"}}}, [
            "flexVolume.driver: Required value",
            'flexVolume.options[X.k8s.io/a]: Invalid value: "X.k8s.io/a": kubernetes.io and k8s.io namespaces are'
            " reserved"]),
        ({"azureFile": {}}, ["azureFile.secretName: Required value", "azureFile.shareName: Required value"]),
        ({"vsphereVolume": {}}, ["vsphereVolume.volumePath: Required value"]),
        ({"photonPersistentDisk": {}}, ["photonPersistentDisk.pdID: Required value"]),
        ({"portworxVolume": {}}, ["portworxVolume.volumeID: Required value"]),
        ({"scaleIO": {}}, [
            "scaleIO.gateway: Required value", "scaleIO.system: Required value",
            "scaleIO.volumeName: Required value"]),
        ({"storageos": {"volumeNamespace": "N", "secretRef": {}}}, [
            "storageos.volumeName: Required value", f'storageos.volumeNamespace: Invalid value: "N": {LABEL}',
            "storageos.secretRef.name: Required value"]),
        ({"azureDisk": {"diskName": "d", "diskURI": "x", "kind": "Managed", "cachingMode": "Some"}}, [
            'azureDisk.cachingMode: Unsupported value: "Some": supported values: "None", "ReadOnly", "ReadWrite"',
            'azureDisk.diskURI: Unsupported value: "x": supported values: "/subscriptions/{sub-id}/resourcegroups/'
            '{group-name}/providers/microsoft.compute/disks/{disk-id}"']),
        ({"iscsi": {"lun": 256, "chapAuthSession": True}}, [
            "iscsi.targetPortal: Required value", "iscsi.iqn: Required value",
            "iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive", "iscsi.secretRef: Required value"]),
        ({"iscsi": {"targetPortal": "p", "iqn": "x", "initiatorName": "iqn.bad"}}, [
            'iscsi.iqn: Invalid value: "x": must be valid format starting with iqn, eui, or naa',
            'iscsi.initiatorname: Invalid value: "iqn.bad": must be valid format']),
    ],
)  # fmt: skip
def test_sources(source: Object, expected: list[str]) -> None:
    assert refusals(pod(volumes(source))) == [f"{V}.{line}" for line in expected]


S = "spec.volumes[0].projected"
TWICE = "conflicting duplicate paths"


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([{"serviceAccountToken": {"path": "token"}}, {"secret": {"name": "s"}}], []),
        ([{"secret": {"items": [{"key": "k", "path": "a"}]}}], [f"{S}.sources[0].secret.name: Required value"]),
        ([{"secret": {"name": "s"}, "configMap": {"name": "c"}}], [
            f"{S}.sources[0]: Forbidden: may not specify more than 1 volume type per source"]),
        ([{"secret": {"name": "s", "items": [{"key": "k", "path": "a"}]}},
          {"configMap": {"name": "c", "items": [{"key": "k", "path": "a"}]}},
          {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}}], [
            f'{S}: Invalid value: "c": {TWICE}', f'{S}: Invalid value: "a": {TWICE}']),
        ([{"serviceAccountToken": {"path": "", "expirationSeconds": 599}}], [
            f"{S}.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: may not specify a duration less"
            " than 10 minutes",
            f"{S}.path: Required value"]),
        ([{"serviceAccountToken": {"path": "/a", "expirationSeconds": 2**32 + 1}}], [
            f"{S}.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 4294967297: may not specify a"
            " duration larger than 2^32 seconds",
            f'{S}.path: Invalid value: "/a": must be a relative path']),
    ],
)  # fmt: skip
def test_projections(sources: list[Object], expected: list[str]) -> None:
    assert refusals(pod(volumes({"projected": {"sources": sources}}))) == expected


def test_tokens_need_an_account() -> None:
    found = pod({**volumes({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}})})
    del found["spec"]["serviceAccountName"]
    assert refusals(found) == [
        f"{S}.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set"
    ]


def test_claims_of_ephemeral_volumes_have_names() -> None:
    made: Object = {"ephemeral": {"volumeClaimTemplate": {"spec": claim_spec()}}}
    long = pod(volumes(made), name="p" * 251)
    (complaint,) = refusals(long)
    assert complaint.endswith("must be no more than 253 characters")
    assert complaint.startswith(f'{V}.name: Invalid value: "v0": PVC name "ppp')
    taken = pod(volumes(made, {"persistentVolumeClaim": {"claimName": "p-v0"}}))
    assert refusals(taken) == [
        'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "p-v0": must not reference a PVC that gets'
        " created for an ephemeral volume"
    ]
