"""Nodes and pods as tests of the scheduler write them."""

from __future__ import annotations

from typing import Any

from machinery.api.resource import Object

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def node(name: str, *, zone: str = "", cpu: str = "2", pods: str = "10", **spec: Any) -> Object:
    labels = {HOST: name, **({ZONE: zone} if zone else {})}
    allocatable = {"cpu": cpu, "memory": "4Gi", "pods": pods}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"allocatable": allocatable}}


def pod(name: str, *, app: str = "", cpu: str = "", namespace: str = "n", **spec: Any) -> Object:
    container: Object = {"name": "c", "resources": {"requests": {"cpu": cpu}} if cpu else {}}
    if port := spec.pop("port", 0):
        container["ports"] = [{"containerPort": 80, "hostPort": port}]
    metadata = {"name": name, "namespace": namespace, "uid": name, "labels": {"app": app} if app else {}}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def near(app: str, key: str = ZONE, **more: Any) -> Object:
    return {"podAffinity": {REQUIRED: [term(app, key, **more)]}}


def away(app: str, key: str = HOST, **more: Any) -> Object:
    return {"podAntiAffinity": {REQUIRED: [term(app, key, **more)]}}


def term(app: str, key: str, **more: Any) -> Object:
    return {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key, **more}


def spread(app: str, key: str = ZONE, **more: Any) -> Object:
    selector = {"matchLabels": {"app": app}}
    return {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector, **more}
