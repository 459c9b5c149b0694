"""Bodies of the sizes that the figures are told for: a small ConfigMap, a Deployment of 3 kB, a pod of 2 kB."""

from __future__ import annotations

from typing import Any

import orjson


def config_map(name: str) -> bytes:
    data = {f"key-{index}": "a value of some length " * 2 for index in range(8)}
    return orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def pod(name: str) -> bytes:
    labels = {"app": "listed", "tier": "web"}
    return orjson.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [_container("nginx:latest", 2)]},
        }
    )


def deployment(name: str, image: str = "nginx:latest") -> bytes:
    labels = {"app": name}
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{**_container(image, 12), **_probes()}, {**_container("side:1", 6), "name": "b"}]},
        },
    }
    return orjson.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})


def replicas_only(name: str, replicas: int) -> bytes:
    spec = {"minReadySeconds": replicas}
    return orjson.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})


def node(name: str) -> dict[str, Any]:
    amounts = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "500Gi"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


def _container(image: str, variables: int) -> dict[str, Any]:
    return {
        "name": "a",
        "image": image,
        "ports": [{"containerPort": 80, "name": "http"}],
        "env": [{"name": f"VARIABLE_{index}", "value": f"value number {index}"} for index in range(variables)],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    }


def _probes() -> dict[str, Any]:
    get = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5}
    return {"readinessProbe": get, "livenessProbe": {**get, "failureThreshold": 5}}
