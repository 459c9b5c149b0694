"""The remaining plain filters and scores: a named node, host ports, images that are there already."""

from __future__ import annotations

from machinery.api.views import Pod
from scheduler.snapshot import NodeInfo, host_ports

_ANY = "0.0.0.0"
_SMALL, _LARGE = 23 << 20, 1000 << 20


def filter_node_name(pod: Pod, info: NodeInfo) -> list[str]:
    if pod.node_name and pod.node_name != info.node.name:
        return ["node(s) didn't match the requested node name"]
    return []


def filter_ports(pod: Pod, info: NodeInfo) -> list[str]:
    for address, protocol, port in host_ports(pod):
        for other, its_protocol, its_port in info.ports:
            if (protocol, port) == (its_protocol, its_port) and (address == other or _ANY in (address, other)):
                return ["node(s) didn't have free ports for the requested pod ports"]
    return []


def score_images(pod: Pod, info: NodeInfo) -> int:
    """0 to 100 by the size of the pod's images that the node has."""
    sizes = {name: image.get("sizeBytes", 0) for image in info.node.images for name in image.get("names") or []}
    found = sum(sizes.get(_full(container.get("image", "")), 0) for container in pod.containers)
    most = _LARGE * max(len(pod.containers), 1)
    return int(100 * (min(max(found, _SMALL), most) - _SMALL) / (most - _SMALL))


def _full(image: str) -> str:
    name = image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"
    first = name.partition("/")[0]
    if "/" not in name:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"
