"""Nodes that nobody runs: how they are marked, and what one of a fleet looks like.

The marks are KWOK's, so that what its users wrote works here too: the annotation says that the node is played, the
taint keeps pods away that were not meant for it, the label selects such nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from machinery.api.resource import Object
from machinery.api.views import View
from machinery.structs import Struct
from minikube_py.simulation.addresses import NODE_PREFIX

MARK, FAKE = "kwok.x-k8s.io/node", "fake"
"""The annotation and the taint of a node that is played."""
LABEL = ("type", "kwok")
TAINT = {"key": MARK, "value": FAKE, "effect": "NoSchedule"}
TOLERATION = {"key": MARK, "operator": "Exists", "effect": "NoSchedule"}
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
NAME = "simulated"
POD_ADDRESSES = IPv4Network("100.64.0.0/10")
"""The shared address space (RFC 6598), so that no pod that really runs has one of them. Each node has a part of it."""
NODE_ADDRESSES = IPv4Network("198.18.0.0/15")
"""Of the range for benchmarks of networks (RFC 2544): no machine's own."""
REST = IPv4Network("100.127.0.0/16")
"""The part of it for pods on nodes that have none."""


def is_simulated(node: Object) -> bool:
    return View(node).annotations.get(MARK) == FAKE


class Fleet(Struct, frozen=True):
    """Nodes of one size, spread evenly over `zones` (0: none has a zone)."""

    nodes: int
    zones: int = 0
    cpu: str = "32"
    memory: str = "256Gi"
    pods: int = 110
    is_tainted: bool = True

    def names(self) -> list[str]:
        return [f"{NAME}-{index}" for index in range(self.nodes)]

    def node(self, index: int) -> Object:
        """The node as its kubelet would register it; what is missing in its status is played."""
        name = f"{NAME}-{index}"
        capacity = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods)}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {MARK: FAKE, "node.alpha.kubernetes.io/ttl": "0"},
                "labels": {**_LABELS, "kubernetes.io/hostname": name, **self._zone(index)},
            },
            "spec": {**_pod_range(index), **({"taints": [TAINT]} if self.is_tainted else {})},
            "status": {"allocatable": capacity, "capacity": capacity},
        }

    def _zone(self, index: int) -> Mapping[str, str]:
        return {ZONE: f"zone-{index % self.zones}", REGION: NAME} if self.zones else {}


def _pod_range(index: int) -> dict[str, Any]:
    """The cluster's own range would soon be used up; where even this one is, there is none."""
    start = int(POD_ADDRESSES.network_address) + (index << (32 - NODE_PREFIX))
    if start >= int(REST.network_address):
        return {}
    part = str(IPv4Network((start, NODE_PREFIX)))
    return {"podCIDR": part, "podCIDRs": [part]}


_LABELS = {
    "beta.kubernetes.io/arch": "amd64",
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
    "kubernetes.io/os": "linux",
    "kubernetes.io/role": "agent",
    "node-role.kubernetes.io/agent": "",
    LABEL[0]: LABEL[1],
}


def workload(replicas: int) -> Object:
    """A Deployment whose pods fill the fleet, and go nowhere else."""
    labels = {"app": NAME}
    container = {
        "name": "app",
        "image": "registry.k8s.io/pause:3.10",
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }
    spec = {"containers": [container], "nodeSelector": dict([LABEL]), "tolerations": [TOLERATION]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": "default", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
