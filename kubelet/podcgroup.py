"""What a pod as a whole may take: the limits of its own cgroup, above those of its containers. Decided purely.

As upstream lays it out: pods that asked for nothing share what the others leave, those that asked share by their sums.
"""

from __future__ import annotations

from collections.abc import Iterable

from kubelet import podspec
from kubelet.resources import CPU_PERIOD, cgroup_parent, milli, pod_requests_and_limits, quota, shares, whole
from machinery.api.resource import Object
from machinery.linux import cgroup
from machinery.structs import Struct

_LEAST_SHARES = 2


class PodLimits(Struct, frozen=True):
    """Zero means: no limit."""

    cpu_shares: int = _LEAST_SHARES
    cpu_quota: int = 0
    memory: int = 0


def pod_limits(pod: Object) -> PodLimits:
    """A limit counts only where every container has one: what one may take without bound, so may the pod."""
    requests, limits = pod_requests_and_limits(pod)
    bounded = {name: _is_bounded(pod, name) for name in ("cpu", "memory")}
    return PodLimits(
        cpu_shares=shares(milli(requests.get("cpu", "0"))),
        cpu_quota=quota(milli(limits["cpu"])) if bounded["cpu"] else 0,
        memory=whole(limits["memory"]) if bounded["memory"] else 0,
    )


def _is_bounded(pod: Object, name: str) -> bool:
    if name in ((pod["spec"].get("resources") or {}).get("limits") or {}):
        return True
    specs = [*podspec.init_containers(pod), *podspec.containers(pod)]
    return all(name in ((spec.get("resources") or {}).get("limits") or {}) for spec in specs)


def burstable_shares(pods: Iterable[Object]) -> int:
    """What all pods that asked for some, but not all, may take together against the guaranteed ones."""
    asked = sum(
        milli(pod_requests_and_limits(pod)[0].get("cpu", "0"))
        for pod in pods
        if podspec.qos_class(pod) == "Burstable" and not podspec.is_terminal(pod)
    )
    return shares(asked)


def wider(one: PodLimits, other: PodLimits) -> PodLimits:
    """Limits within which both fit: while containers change from the one to the other."""

    def larger(a: int, b: int) -> int:
        return max(a, b) if a and b else 0

    return PodLimits(
        max(one.cpu_shares, other.cpu_shares), larger(one.cpu_quota, other.cpu_quota), larger(one.memory, other.memory)
    )


def prepare(root: str, pod: Object, pods: Iterable[Object]) -> None:
    """Makes the pod's cgroup with its limits, and weighs the tiers by `pods`, all those of the node. Blocks."""
    _set_shares(f"{root}/besteffort", _LEAST_SHARES)
    _set_shares(f"{root}/burstable", burstable_shares(pods))
    set_limits(cgroup_parent(root, pod), pod_limits(pod))


def set_limits(path: str, limits: PodLimits) -> None:
    """Gives the cgroup its limits, made where it is absent. Blocks; what this host can't limit stays unlimited."""
    _set_shares(path, limits.cpu_shares)
    if cgroup.is_unified():
        cgroup.write(path, "cpu", "cpu.max", f"{limits.cpu_quota or 'max'} {CPU_PERIOD}")
        cgroup.write(path, "memory", "memory.max", str(limits.memory or "max"))
    else:
        cgroup.write(path, "cpu", "cpu.cfs_period_us", str(CPU_PERIOD))
        cgroup.write(path, "cpu", "cpu.cfs_quota_us", str(limits.cpu_quota or -1))
        cgroup.write(path, "memory", "memory.limit_in_bytes", str(limits.memory or -1))


def _set_shares(path: str, cpu_shares: int) -> None:
    if cgroup.is_unified():
        cgroup.write(path, "cpu", "cpu.weight", str(weight(cpu_shares)))
    else:
        cgroup.write(path, "cpu", "cpu.shares", str(cpu_shares))


def weight(cpu_shares: int) -> int:
    """Shares of cgroup v1, 2 to 262144, as v2's weight, 1 to 10000."""
    return 1 + ((cpu_shares - _LEAST_SHARES) * 9999) // 262142
