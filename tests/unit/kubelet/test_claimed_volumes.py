"""A pod's claims on its node: the directory that each is, what its group does to it, and why it can't be had."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kubelet.claimed_volumes import as_mounted
from kubelet.ownership import give_to_group
from kubelet.volumecontent import Sources
from kubelet.volumes import set_up, take_down
from machinery.api.resource import Object
from machinery.api.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from tests.endpoint_world import World

HOST = "kubernetes.io/hostname"
USES_V = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}


def on(name: str) -> Object:
    entry = {"key": HOST, "operator": "In", "values": [name]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [entry]}]}}


def world(*, phase: str = "Bound", bound: bool = True, owner: str = "", **volume: Any) -> World:
    """A node, a claim `c` and its volume `pv`."""
    metadata: Object = {"name": "c", "namespace": "ns", "uid": "c-uid"}
    if owner:
        metadata["ownerReferences"] = [{"kind": "Pod", "name": "p", "uid": owner, "controller": True}]
    claim = {"metadata": metadata, "spec": {"volumeName": "pv"} if bound else {}, "status": {"phase": phase}}
    kept = {"namespace": "ns", "name": "c", "uid": "c-uid"}
    pv = {"metadata": {"name": "pv", "uid": "pv"}, "spec": {"claimRef": kept, **volume}, "status": {"phase": "Bound"}}
    node = {"metadata": {"name": "n", "labels": {HOST: "h"}}}
    return World((NODES, node), (PERSISTENT_VOLUME_CLAIMS, claim), (PERSISTENT_VOLUMES, pv))


def pod(volume: Object | None = None, **security: Any) -> Object:
    used = volume or {"persistentVolumeClaim": {"claimName": "c"}}
    spec = {"nodeName": "n", "volumes": [{"name": "v", **used}], "securityContext": security, "containers": [USES_V]}
    return {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec}


def mounted(known: World, directory: Path, wanted: Object | None = None) -> Path:
    paths, failed = set_up(wanted or pod(), directory, Sources(known, lambda audience, seconds: ""))
    assert failed == []
    return paths["v"]


def failure(known: World, directory: Path, wanted: Object | None = None) -> str:
    _, (said,) = set_up(wanted or pod(), directory, Sources(known, lambda audience, seconds: ""))
    return said


def unprocessed(why: str, claim: str = "c") -> str:
    return (
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process "
        f"volumes=[v]: error processing PVC ns/{claim}: {why}"
    )


def test_a_bound_claim_is_its_volumes_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    local = world(local={"path": str(tmp_path / "data")}, nodeAffinity=on("h"))
    assert mounted(local, tmp_path / "pod") == tmp_path / "data"
    made = world(hostPath={"path": str(tmp_path / "made"), "type": "DirectoryOrCreate"})
    assert mounted(made, tmp_path / "pod") == tmp_path / "made"
    assert (tmp_path / "made").is_dir()


def test_what_is_in_a_volume_outlives_the_pod(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("kept")
    mounted(world(local={"path": str(tmp_path / "data")}), tmp_path / "pod")
    take_down(tmp_path / "pod")
    assert (tmp_path / "data/file").read_text() == "kept"


NO_FETCH = 'failed to fetch PVC from API server: persistentvolumeclaims "{}" not found'


@pytest.mark.parametrize(
    ("known", "volume", "words"),
    [
        (
            world(),
            {"persistentVolumeClaim": {"claimName": "ghost"}},
            unprocessed(NO_FETCH.format("ghost"), "ghost"),
        ),
        (world(phase="Pending", bound=False), None, unprocessed("PVC is not bound")),
        (world(phase="Lost"), None, unprocessed("PVC is not bound")),
        (world(), {"ephemeral": {}}, unprocessed(NO_FETCH.format("p-v"), "p-v")),
        (
            world(local={"path": "/nowhere/at/all"}),
            None,
            'MountVolume.NewMounter initialization failed for volume "pv" : path "/nowhere/at/all" does not exist',
        ),
        (
            world(local={"path": "/"}, nodeAffinity=on("other")),
            None,
            'MountVolume.NodeAffinity check failed for volume "pv" : no matching NodeSelectorTerms',
        ),
        (
            world(hostPath={"path": "/nowhere/at/all", "type": "Directory"}),
            None,
            'MountVolume.SetUp failed for volume "pv" : hostPath type check failed: /nowhere/at/all is not a directory',
        ),
        (world(nfs={"path": "/"}), None, 'MountVolume.SetUp failed for volume "pv" : no volume plugin matched'),
    ],
)
def test_what_is_in_the_way_is_told(tmp_path: Path, known: World, volume: Object | None, words: str) -> None:
    assert failure(known, tmp_path, pod(volume)) == words


@pytest.mark.parametrize(
    ("mode", "field", "said"),
    [
        ("Block", "volumeMounts", "volume v has volumeMode Block, but is specified in volumeMounts"),
        ("Filesystem", "volumeDevices", "volume v has volumeMode Filesystem, but is specified in volumeDevices"),
    ],
)
def test_a_volume_of_another_mode_than_it_is_used_in_is_told(tmp_path: Path, mode: str, field: str, said: str) -> None:
    wanted = pod()
    wanted["spec"]["containers"] = [{"name": "c", field: [{"name": "v"}]}]
    told = failure(world(local={"path": "/"}, volumeMode=mode), tmp_path, wanted)
    assert told == unprocessed("").replace("error processing PVC ns/c: ", said)


def test_a_block_volume_is_refused(tmp_path: Path) -> None:
    wanted = pod()
    wanted["spec"]["containers"] = [{"name": "c", "volumeDevices": [{"name": "v"}]}]
    told = failure(world(local={"path": "/"}, volumeMode="Block"), tmp_path, wanted)
    assert told == 'MountVolume.SetUp failed for volume "pv" : volumes of mode Block are not supported'


def test_an_ephemeral_volume_is_not_had_by_anothers_claim(tmp_path: Path) -> None:
    known = world(owner="another", hostPath={"path": str(tmp_path)})
    wanted = pod({"ephemeral": {}})
    wanted["metadata"]["name"] = "c"
    wanted["spec"]["volumes"][0]["name"] = "v"
    claim = known.get(PERSISTENT_VOLUME_CLAIMS, "ns", "c") or {}
    known.put(PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": {**claim["metadata"], "name": "c-v"}})
    assert failure(known, tmp_path, wanted).endswith("PVC ns/c-v was not created for pod ns/c (pod is not owner)")


def test_the_group_gets_the_volume_once_a_pod(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "sub/file").write_text("")
    (data / "sub/file").chmod(0o600)
    known = world(local={"path": str(data)})
    mounted(known, tmp_path / "pod", pod(fsGroup=1234))
    assert (data.stat().st_gid, (data / "sub/file").stat().st_gid) == (1234, 1234)
    assert data.stat().st_mode & 0o2770 == 0o2770
    assert (data / "sub/file").stat().st_mode & 0o777 == 0o660
    (data / "later").write_text("")
    os.chown(data / "later", 0, 0)
    mounted(known, tmp_path / "pod", pod(fsGroup=1234))
    assert (data / "later").stat().st_gid == 0


def test_who_only_reads_changes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    volume = {"persistentVolumeClaim": {"claimName": "c", "readOnly": True}}
    wanted = pod(volume, fsGroup=1234)
    mounted(world(local={"path": str(data)}), tmp_path / "pod", wanted)
    assert data.stat().st_gid != 1234
    container = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w"}]}
    assert [mount.get("readOnly") for mount in as_mounted(wanted, container)["volumeMounts"]] == [True, None]


def test_a_link_in_a_volume_leads_nowhere(tmp_path: Path) -> None:
    outside, volume = tmp_path / "outside", tmp_path / "volume"
    outside.write_text("")
    outside.chmod(0o600)
    volume.mkdir()
    (volume / "link").symlink_to(outside)
    (volume / "folder").symlink_to(tmp_path)
    give_to_group(volume, 1234)
    assert (outside.stat().st_gid, outside.stat().st_mode & 0o777) == (os.getgid(), 0o600)
    assert (volume / "link").lstat().st_gid == 1234


def test_a_walk_is_spared_where_the_root_says_so(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    give_to_group(volume, 1234)
    (volume / "new").write_text("")
    os.chown(volume / "new", 0, 0)
    give_to_group(volume, 1234, only_if_needed=True)
    assert (volume / "new").stat().st_gid == 0
    give_to_group(volume, 1234)
    assert (volume / "new").stat().st_gid == 1234
