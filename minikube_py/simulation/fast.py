"""The stages that hold where nobody says others: what KWOK's `node-fast` and `pod-fast` do.

A node is Ready at once, a pod runs and is Ready as soon as it is bound, a Job's pod has then done its work, and what is
deleted goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from controllers.plan import Action, Delete, Patch, key_of
from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Node, Pod
from minikube_py.simulation.stages import Scene, Stage

VERSION = "kwok"
"""What a simulated node says of its kubelet's version."""
_AMPLE = {"cpu": "1k", "memory": "1Ti", "pods": "1M"}
CONDITIONS = (
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("NetworkUnavailable", "False", "RouteCreated", "RouteController created a route"),
)


def _is_not_ready(obj: Object) -> bool:
    return not Node(obj).is_true("Ready")


def _initialize(obj: Object, scene: Scene) -> Sequence[Action]:
    node, status, now = Node(obj), obj.get("status") or {}, rfc3339(scene.now)
    addresses = {each["type"]: each for each in node.addresses}
    addresses.setdefault("InternalIP", {"type": "InternalIP", "address": scene.node_ip})
    addresses.setdefault("Hostname", {"type": "Hostname", "address": node.name})
    there = {key: value for key, value in (status.get("nodeInfo") or {}).items() if value}
    made = {
        "conditions": [_node_condition(node, row, now) for row in CONDITIONS],
        "addresses": list(addresses.values()),
        "allocatable": node.allocatable or _AMPLE,
        "capacity": status.get("capacity") or _AMPLE,
        "nodeInfo": {**_NODE_INFO, **there},
        "phase": "Running",
    }
    return [Patch(NODES, key_of(obj), {"metadata": {"uid": node.uid}, "status": made}, "status")]


def _node_condition(node: Node, row: tuple[str, str, str, str], now: str) -> Object:
    kind, status, reason, message = row
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now if node.condition(kind) else node.created or now,
    }


_NODE_INFO = {
    "architecture": "amd64",
    "bootID": "",
    "containerRuntimeVersion": VERSION,
    "kernelVersion": VERSION,
    "kubeProxyVersion": VERSION,
    "kubeletVersion": VERSION,
    "machineID": "",
    "operatingSystem": "linux",
    "osImage": "",
    "systemUUID": "",
}


def _is_to_run(obj: Object) -> bool:
    pod = Pod(obj)
    return not pod.deleted and pod.phase in ("", "Pending") and not pod.is_ready


_READY = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")


def _run(obj: Object, scene: Scene) -> Sequence[Action]:
    pod, now = Pod(obj), rfc3339(scene.now)
    gates = tuple(gate["conditionType"] for gate in obj["spec"].get("readinessGates") or ())
    kinds = dict.fromkeys((*_READY, *gates))
    conditions = [_condition(pod, kind, "True", now) for kind in kinds]
    address = scene.node_ip if pod.host_network else scene.pod_ip
    status: Object = {
        "phase": "Running",
        "conditions": [*(each for each in pod.conditions if each["type"] not in kinds), *conditions],
        "containerStatuses": [_container(each, _running(now)) for each in pod.containers],
        "startTime": now,
    }
    if pod.init_containers:
        status["initContainerStatuses"] = [_initialized(each, now) for each in pod.init_containers]
    if scene.node_ip:
        status |= {"hostIP": scene.node_ip, "hostIPs": [{"ip": scene.node_ip}]}
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    return [_status(pod, status)]


def _initialized(container: Object, now: str) -> Object:
    if container.get("restartPolicy") == "Always":
        return _container(container, _running(now))
    return {**_container(container, _completed(now, now)), "started": False}


def _container(container: Object, state: Object) -> Object:
    is_running = "running" in state
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": is_running or state["terminated"]["exitCode"] == 0,
        "restartCount": 0,
        "started": is_running,
        "state": state,
    }


def _running(now: str) -> Object:
    return {"running": {"startedAt": now}}


def _completed(started: str, now: str) -> Object:
    return {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": now}}


def _condition(pod: Pod, kind: str, status: str, now: str, reason: str = "") -> Object:
    made: Object = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": now}
    if pod.generation:
        made["observedGeneration"] = pod.generation
    return {**made, "reason": reason} if reason else made


def _is_to_complete(obj: Object) -> bool:
    pod = Pod(obj)
    return not pod.deleted and pod.phase == "Running" and any(ref["kind"] == "Job" for ref in pod.owner_references)


def _complete(obj: Object, scene: Scene) -> Sequence[Action]:
    pod, now = Pod(obj), rfc3339(scene.now)
    started = (obj.get("status") or {}).get("startTime") or now
    over = ("Ready", "ContainersReady")
    conditions = [
        _condition(pod, each["type"], "False", now, "PodCompleted") if each["type"] in over else each
        for each in pod.conditions
    ]
    statuses = [{**_container(each, _completed(started, now)), "ready": False} for each in pod.containers]
    return [_status(pod, {"phase": "Succeeded", "conditions": conditions, "containerStatuses": statuses})]


def _status(pod: Pod, status: Object) -> Patch:
    # With the uid: a namesake that came meanwhile is another pod.
    return Patch(PODS, key_of(pod.obj), {"metadata": {"uid": pod.uid}, "status": status}, "status")


def _is_deleted(obj: Object) -> bool:
    return bool(Pod(obj).deleted)


def _remove(obj: Object, scene: Scene) -> Sequence[Action]:
    return [Delete(PODS, key_of(obj), uid=Pod(obj).uid, grace_period_seconds=0)]


FAST = (
    Stage("node-initialize", "Node", _is_not_ready, _initialize),
    Stage("pod-ready", "Pod", _is_to_run, _run),
    Stage("pod-complete", "Pod", _is_to_complete, _complete),
    Stage("pod-delete", "Pod", _is_deleted, _remove),
)
