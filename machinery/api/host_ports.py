"""Ports of the node that pods take (core/v1 ContainerPort.hostPort): the scheduler and the kubelet ask alike."""

from __future__ import annotations

from machinery.api.views import Pod

Port = tuple[str, str, int]
"""(address, protocol, port) that a pod takes on its node."""
_ANY = "0.0.0.0"


def host_ports(pod: Pod) -> frozenset[Port]:
    """Every port that the pod takes on its node; sidecars count as containers do."""
    sidecars = [each for each in pod.init_containers if each.get("restartPolicy") == "Always"]
    return frozenset(
        (port.get("hostIP") or _ANY, port.get("protocol") or "TCP", port["hostPort"])
        for container in (*pod.containers, *sidecars)
        for port in container.get("ports") or []
        if port.get("hostPort")
    )


def conflict(wanted: Port, taken: Port) -> bool:
    """Whether two pods can't have these on one node: the same port, on the same address or on all."""
    return wanted[1:] == taken[1:] and (wanted[0] == taken[0] or _ANY in (wanted[0], taken[0]))
