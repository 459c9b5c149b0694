"""Host ports that must be free, and images that are on the node already (NodePorts, ImageLocality, NodeName)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from machinery.api.host_ports import Port, conflict, host_ports
from machinery.api.views import Pod
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.framework import Hint, Plugin, Refusal
from scheduler.node_info import NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.snapshot import Snapshot

_SMALL, _LARGE = 23 << 20, 1000 << 20
_TAKEN = Refusal(("node(s) didn't have free ports for the requested pod ports",))
_ANOTHER = Refusal(("node(s) didn't match the requested node name",), is_final=True)


def _wants_name(pod: PodInfo, snapshot: Snapshot) -> Any:
    return pod.shape.example.node_name or None


def _filter_name(state: str, pod: PodInfo, info: NodeInfo) -> Refusal | None:
    return None if state == info.node.name else _ANOTHER


def _wants_ports(pod: PodInfo, snapshot: Snapshot) -> Any:
    return pod.shape.ports or None


def _filter_ports(state: frozenset[Port], pod: PodInfo, info: NodeInfo) -> Refusal | None:
    return _TAKEN if any(conflict(wanted, taken) for taken in info.ports for wanted in state) else None


def _ports_help(pod: PodInfo, event: ClusterEvent) -> bool:
    if event.happened is Happened.NODE_ADDED:
        return True
    freed = host_ports(Pod(event.before or event.object))
    return any(conflict(wanted, port) for wanted in pod.shape.ports for port in freed)


def _pre_score_images(pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Any:
    """For each image the share of all nodes that have it; nothing where none has any."""
    if not snapshot.marks.imaged:
        return None
    example = pod.shape.example
    names = [_full(container.get("image") or "") for container in (*example.init_containers, *example.containers)]
    having = dict.fromkeys(names, 0)
    for node in snapshot.marks.imaged:
        sizes = snapshot.nodes[node].node.image_sizes
        for name in having:
            having[name] += name in sizes
    total = len(snapshot.nodes)
    return [(name, having[name] / total) for name in names] if any(having.values()) else None


def _score_images(state: list[tuple[str, float]], pod: PodInfo, info: NodeInfo) -> int:
    """0 to 100 by the size of the pod's images that the node has; what only few nodes have counts less."""
    sizes = info.node.image_sizes
    found = sum(int(sizes[name] * share) for name, share in state if name in sizes)
    most = _LARGE * len(state)
    return 100 * (min(max(found, _SMALL), most) - _SMALL) // (most - _SMALL)


def _full(image: str) -> str:
    name = image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"
    first = name.partition("/")[0]
    if "/" not in name:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


NODE_NAME = Plugin("NodeName", pre_filter=_wants_name, filter=_filter_name, is_local=True)
NODE_PORTS = Plugin(
    "NodePorts",
    pre_filter=_wants_ports,
    filter=_filter_ports,
    is_local=True,
    hint=Hint.on(Happened.NODE_ADDED, Happened.POD_GONE, if_=_ports_help),
)
IMAGE_LOCALITY = Plugin("ImageLocality", pre_score=_pre_score_images, score=_score_images)
