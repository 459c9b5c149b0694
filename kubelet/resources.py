"""Requests and limits as Linux understands them: shares, quota, bytes, and who dies first. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from kubelet import podspec
from machinery.api.resource import Object
from machinery.structs import Struct

CPU_PERIOD = 100_000
_MIN_SHARES, _MAX_SHARES, _MIN_QUOTA = 2, 262_144, 1000
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {"n": "1e-9", "u": "1e-6", "m": "1e-3", "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12", "P": "1e15", "E": "1e18"}  # fmt: skip # noqa: E501


def quantity(text: object) -> Decimal:
    """The exact value of an API quantity that the API server has validated."""
    value = str(text)
    if value[-2:] in _BINARY:
        return Decimal(value[:-2]) * _BINARY[value[-2:]]
    if value[-1:] in _DECIMAL:
        return Decimal(value[:-1]) * Decimal(_DECIMAL[value[-1]])
    return Decimal(value)


def whole(text: object) -> int:
    return int(quantity(text).to_integral_value(rounding=ROUND_CEILING))


def milli(text: object) -> int:
    return int((quantity(text) * 1000).to_integral_value(rounding=ROUND_CEILING))


class LinuxResources(Struct, frozen=True):
    """Zero means: not set."""

    cpu_shares: int
    cpu_quota: int
    memory_limit: int
    oom_score_adj: int


def linux_resources(pod: Object, spec: Object, memory_capacity: int) -> LinuxResources:
    resources = spec.get("resources") or {}
    # What a container leaves open is bounded by its pod's own limit (KEP-2837).
    limits = {**((pod["spec"].get("resources") or {}).get("limits") or {}), **(resources.get("limits") or {})}
    requests = resources.get("requests") or {}
    cpu_request = requests.get("cpu", limits.get("cpu", "0"))
    return LinuxResources(
        cpu_shares=shares(milli(cpu_request)),
        cpu_quota=quota(milli(limits["cpu"])) if "cpu" in limits else 0,
        memory_limit=whole(limits["memory"]) if "memory" in limits else 0,
        oom_score_adj=oom_score_adj(pod, spec, memory_capacity),
    )


def unified_limits(*, is_unified: bool, counts_swap: bool) -> dict[str, str]:
    """What upstream writes into each container's cgroup v2: it ends as a whole for want of memory, and doesn't swap.

    kuberuntime_container_linux.go; `singleProcessOOMKill` is false where nothing is said of it.
    """
    if not is_unified:
        return {}
    return {"memory.oom.group": "1", **({"memory.swap.max": "0"} if counts_swap else {})}


def shares(milli_cpu: int) -> int:
    return min(max(milli_cpu * 1024 // 1000, _MIN_SHARES), _MAX_SHARES)


def quota(milli_cpu: int) -> int:
    return max(milli_cpu * CPU_PERIOD // 1000, _MIN_QUOTA) if milli_cpu else 0


def oom_score_adj(pod: Object, spec: Object, memory_capacity: int) -> int:
    """-997 for guaranteed pods, 1000 for those that ask for nothing, between them the less the more is asked for."""
    qos = podspec.qos_class(pod)
    if pod["spec"].get("priorityClassName") == "system-node-critical" or qos == "Guaranteed":
        return -997
    if qos == "BestEffort":
        return 1000
    resources = spec.get("resources") or {}
    request = (resources.get("requests") or {}).get("memory") or (resources.get("limits") or {}).get("memory") or "0"
    score = 1000 - 1000 * whole(request) // max(memory_capacity, 1)
    return 999 if score == 1000 else max(score, 3)


def pod_requests_and_limits(pod: Object) -> tuple[Object, Object]:
    """The pod's sums as the status tells them: main containers and sidecars, or the largest init container."""
    requests: Object = {}
    limits: Object = {}
    for total, field in ((requests, "requests"), (limits, "limits")):
        running: dict[str, list[str]] = {}
        for spec in (*podspec.containers(pod), *filter(podspec.is_sidecar, podspec.init_containers(pod))):
            for name, value in _wanted(spec, field).items():
                running.setdefault(name, []).append(value)
        for spec in podspec.init_containers(pod):
            for name, value in _wanted(spec, field).items():
                if not podspec.is_sidecar(spec) and quantity(value) > sum(map(quantity, running.get(name, ["0"]))):
                    running[name] = [value]
        for name, values in sorted(running.items()):
            total[name] = values[0] if len(values) == 1 else format_quantity(sum(map(quantity, values)), values[0])
    # What is said of the pod as a whole counts before the sums.
    of_pod = pod["spec"].get("resources") or {}
    requests |= of_pod.get("requests") or {}
    limits |= of_pod.get("limits") or {}
    requests = {**(of_pod.get("limits") or {}), **requests}
    return requests, limits


def _wanted(spec: Object, field: str) -> Object:
    resources = spec.get("resources") or {}
    if field == "requests":
        return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return dict(resources.get("limits") or {})


def with_resources(pod: Object, resources: Mapping[str, Object]) -> Object:
    """The pod with other resources of the containers named."""
    if not resources:
        return pod
    spec = dict(pod["spec"])
    for part in ("initContainers", "containers"):
        if spec.get(part):
            spec[part] = [
                {**each, "resources": resources[each["name"]]} if each["name"] in resources else each
                for each in spec[part]
            ]
    return {**pod, "spec": spec}


def told_resources(pod: Object) -> dict[str, Object]:
    """What each container that was started has, as the pod's status told last."""
    status = pod.get("status") or {}
    return {
        each["name"]: each["resources"]
        for field_name in ("initContainerStatuses", "containerStatuses")
        for each in status.get(field_name) or ()
        if each.get("containerID") and "resources" in each
    }


def allotted(pod: Object) -> Object:
    """The pod as it takes room on the node: while a resize waits, with the resources from before it."""
    told = (pod.get("status") or {}).get("conditions") or ()
    waits = any(each["type"] == "PodResizePending" and each["status"] == "True" for each in told)
    return with_resources(pod, told_resources(pod)) if waits else pod


def format_quantity(value: Decimal | int, like: str) -> str:
    """Canonical text of a sum, binary where the summands were."""
    exact = Decimal(value)
    if like[-2:] in _BINARY:
        for suffix, factor in reversed(_BINARY.items()):
            if exact and exact % factor == 0:
                return f"{int(exact / factor)}{suffix}"
        return str(int(exact))
    if exact != exact.to_integral_value():
        return f"{milli(exact)}m"
    for suffix in ("E", "P", "T", "G", "M", "k"):
        factor = int(Decimal(_DECIMAL[suffix]))
        if exact and exact % factor == 0:
            return f"{int(exact / factor)}{suffix}"
    return str(int(exact))


def cgroup_parent(root: str, pod: Object) -> str:
    """`/kubepods/burstable/pod<uid>`: guaranteed pods stand directly below the root."""
    qos = podspec.qos_class(pod)
    tier = "" if qos == "Guaranteed" else f"/{qos.lower()}"
    return f"{root.rstrip('/')}{tier}/pod{podspec.uid(pod)}"
