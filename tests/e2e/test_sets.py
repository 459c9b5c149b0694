"""StatefulSets with claims and DaemonSets, on a real node: names, data that stays, what goes with what, rollouts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Cluster

pytestmark = pytest.mark.e2e
CONTAINER = {"name": "c", "image": "nginx:latest", "imagePullPolicy": "IfNotPresent"}
NAMESPACE = "sets"


@pytest.fixture(scope="module")
def cluster(walked: Cluster) -> Any:
    walked.kubectl("create", "namespace", NAMESPACE)
    yield walked
    walked.kubectl("delete", "namespace", NAMESPACE)


def template(name: str, **container: Any) -> dict[str, Any]:
    spec = {"terminationGracePeriodSeconds": 0, "containers": [{**CONTAINER, **container}]}
    return {"metadata": {"labels": {"app": name}}, "spec": spec}


def apply(cluster: Cluster, kind: str, name: str, **spec: Any) -> None:
    wanted = {"selector": {"matchLabels": {"app": name}}, **spec}
    made = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": wanted}
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(made))


def on(cluster: Cluster, *arguments: str) -> str:
    return cluster.kubectl(*arguments[:1], "-n", NAMESPACE, *arguments[1:])


def rolled_out(cluster: Cluster, name: str) -> None:
    on(cluster, "rollout", "status", name, "--timeout=90s")


def test_a_stateful_set_keeps_names_and_data_and_takes_its_claims_along(cluster: Cluster) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    apply(
        cluster,
        "StatefulSet",
        "db",
        serviceName="db",
        replicas=2,
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete", "whenScaled": "Delete"},
        template=template("db", volumeMounts=[{"name": "data", "mountPath": "/data"}]),
        volumeClaimTemplates=[claim],
    )
    rolled_out(cluster, "statefulset/db")
    assert on(cluster, "exec", "db-1", "--", "hostname").strip() == "db-1"
    on(cluster, "exec", "db-1", "--", "sh", "-c", "echo kept > /data/file")
    on(cluster, "delete", "pod", "db-1")
    on(cluster, "wait", "--for=create", "pod/db-1", "--timeout=60s")
    on(cluster, "wait", "--for=condition=Ready", "pod/db-1", "--timeout=60s")
    assert on(cluster, "exec", "db-1", "--", "cat", "/data/file").strip() == "kept"

    on(cluster, "scale", "statefulset/db", "--replicas=1")
    on(cluster, "wait", "--for=delete", "pvc/data-db-1", "--timeout=60s")
    on(cluster, "scale", "statefulset/db", "--replicas=2")
    rolled_out(cluster, "statefulset/db")
    on(cluster, "wait", "--for=condition=Ready", "pod/db-1", "--timeout=60s")
    assert on(cluster, "exec", "db-1", "--", "ls", "/data").strip() == ""

    on(cluster, "delete", "statefulset/db")
    on(cluster, "wait", "--for=delete", "pvc", "--all", "--timeout=60s")
    assert on(cluster, "get", "pods,pvc", "-l", "app=db", "-o", "name") == ""


def test_a_daemon_set_is_on_the_node_whatever_its_trouble_and_rolls_back(cluster: Cluster) -> None:
    apply(cluster, "DaemonSet", "agent", template=template("agent"))
    rolled_out(cluster, "daemonset/agent")
    (node,) = (each["metadata"]["name"] for each in cluster.get("nodes")["items"])
    cluster.kubectl("cordon", node)
    try:
        on(cluster, "set", "env", "daemonset/agent", "A=1")
        rolled_out(cluster, "daemonset/agent")
    finally:
        cluster.kubectl("uncordon", node)
    on(cluster, "rollout", "undo", "daemonset/agent")
    rolled_out(cluster, "daemonset/agent")
    history = on(cluster, "rollout", "history", "daemonset/agent").split("\n")
    assert [line.split()[0] for line in history if line[:1].isdigit()] == ["2", "3"]

    cluster.kubectl("taint", "node", node, "example.com/keep-out=:NoSchedule")
    try:
        on(cluster, "wait", "--for=jsonpath={.status.numberMisscheduled}=1", "daemonset/agent", "--timeout=60s")
        on(cluster, "delete", "pod", "-l", "app=agent")
        on(cluster, "wait", "--for=jsonpath={.status.numberMisscheduled}=0", "daemonset/agent", "--timeout=60s")
        assert on(cluster, "get", "pods", "-l", "app=agent", "-o", "name") == ""
    finally:
        cluster.kubectl("taint", "node", node, "example.com/keep-out:NoSchedule-")
    on(cluster, "wait", "--for=jsonpath={.status.numberAvailable}=1", "daemonset/agent", "--timeout=60s")
    on(cluster, "delete", "daemonset/agent")
