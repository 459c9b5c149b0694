"""A Deployment with a claim, by real kubectl: its data outlive its pods and the process, and go with the claim."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Cluster
from .test_pods_live import Room, until

pytestmark = pytest.mark.e2e


@pytest.fixture
def room(walked: Cluster) -> Iterator[Room]:
    found = Room(walked)
    walked.kubectl("create", "namespace", found.namespace)
    try:
        yield found
    finally:
        walked.kubectl("delete", "namespace", found.namespace)


def claim(name: str) -> Any:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def deployment(name: str) -> Any:
    container = {
        "name": "c",
        "image": "busybox:latest",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "3600"],
        "securityContext": {"runAsUser": 1000},
        "volumeMounts": [{"name": "v", "mountPath": "/data", "subPath": "sub"}],
    }
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": name}}
    pod = {
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"fsGroup": 2000},
        "containers": [container],
        "volumes": [volume],
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def test_data_outlive_their_pods_and_go_with_the_claim(room: Room) -> None:
    cluster = room.cluster
    room.apply(claim("d"), deployment("d"))
    room.kubectl("rollout", "status", "deployment/d", "--timeout", "90s")
    room.kubectl("exec", "deploy/d", "--", "sh", "-c", "echo kept > /data/file")
    room.kubectl("delete", "pod", "-l", "app=d")
    room.kubectl("rollout", "status", "deployment/d", "--timeout", "90s")
    assert room.kubectl("exec", "deploy/d", "--", "cat", "/data/file") == "kept\n"
    volume = json.loads(room.kubectl("get", "pvc", "d", "-o", "json"))["spec"]["volumeName"]
    directory = cluster.get("pv", volume)["spec"]["local"]["path"]
    room.kubectl("delete", "pvc", "d", "--wait=false")
    assert "Terminating" in room.kubectl("get", "pvc", "d")
    room.kubectl("delete", "deployment", "d")
    cluster.kubectl("wait", "--for=delete", f"pv/{volume}", "--timeout", "90s")
    assert not (cluster.data_dir / "storage" / directory.rpartition("/")[2]).exists()
    assert room.kubectl("get", "pvc") == ""


def test_a_pod_waits_for_its_claim_and_says_so(room: Room) -> None:
    cluster = room.cluster
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "late"}}
    mounted = {"volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    (node,) = cluster.get("node")["items"]
    room.pod("p", "sleep 3600", nodeName=node["metadata"]["name"], volumes=[volume], container=mounted)

    def described() -> str:
        return room.kubectl("describe", "pod", "p")

    until(lambda: "error processing PVC" in described(), described)
    immediate = {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": room.namespace},
        "provisioner": "minikube-py.io/local-path", "volumeBindingMode": "Immediate",
    }  # fmt: skip
    late = claim("late")
    late["spec"]["storageClassName"] = room.namespace
    room.apply(immediate, late)
    room.kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout", "90s")
    room.kubectl("delete", "pod", "p")
    room.kubectl("delete", "pvc", "late")
    cluster.kubectl("delete", "storageclass", room.namespace)
