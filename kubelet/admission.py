"""Whether the node takes a pod that was bound to it: room, labels, taints, ports, and how hard pressed it is. Pure.

The scheduler has asked all this already; a pod that names its node itself has not been asked. The order is upstream's,
as the first reason is the one that is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from kubelet import podspec
from kubelet.preemption import NoVictims, victims
from kubelet.resources import allotted, milli, pod_requests_and_limits, whole
from kubelet.statusinput import Trouble
from machinery.api.host_ports import conflict, host_ports
from machinery.api.node_affinity import takes
from machinery.api.resource import Object
from machinery.api.taints import untolerated
from machinery.api.views import Pod
from machinery.structs import Struct, field

_CRITICAL = 2_000_000_000
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
"""Those that belong to a pod's own namespaces and harm no other; all others would be the host's."""


class Shortage(Struct, frozen=True):
    """One resource of which the node has too little left; CPU in thousandths."""

    resource: str
    requested: int
    used: int
    capacity: int

    def __str__(self) -> str:
        return (
            f"Node didn't have enough resource: {self.resource}, requested: {self.requested}, used: {self.used}, "
            f"capacity: {self.capacity}"
        )


class Host(Struct, frozen=True):
    """What of the node decides: `labels` and `taints` as the API has them, `pressures` by their conditions' names."""

    name: str
    allocatable: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Object] = ()
    pressures: Collection[str] = ()
    has_apparmor: bool = True


class Verdict(Struct, frozen=True):
    """`refused` says why the node does not take the pod; where it does, `preempted` have to end first."""

    refused: Trouble | None = None
    preempted: tuple[Object, ...] = ()


def shortage(pod: Object, others: Iterable[Object], allocatable: Mapping[str, str]) -> Shortage | None:
    """The first of what the node lacks for the pod beside the others; those that have ended need nothing."""
    return next(iter(shortages(pod, others, allocatable)), None)


def shortages(pod: Object, others: Iterable[Object], allocatable: Mapping[str, str]) -> list[Shortage]:
    """All that the node lacks, in upstream's order; a resource of others that the node has not got is not looked at."""
    uid = podspec.uid(pod)
    active = [each for each in others if uid not in _uids(each) and not podspec.is_terminal(each)]
    used: dict[str, int] = {}
    for each in active:
        for name, value in requests(allotted(each)).items():
            used[name] = used.get(name, 0) + value
    wanted = requests(pod)
    found = []
    for name in sorted(wanted, key=_place):
        if name not in allocatable and is_extended(name):
            continue
        value, taken, has = wanted[name], used.get(name, 0), _amount(name, allocatable.get(name, "0"))
        if value and taken + value > has:
            found.append(Shortage(name, value, taken, has))
    return found


_ORDER = ("pods", "cpu", "memory", "ephemeral-storage")


def _place(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def is_extended(name: str) -> bool:
    """Whether the resource is another's than Kubernetes' own: those of nodes alone are counted here."""
    domain, slash, _ = name.rpartition("/")
    return bool(slash) and not f".{domain}".endswith(".kubernetes.io")


def _uids(pod: Object) -> tuple[str, str]:
    """A mirror stands for the static pod whose uid it names."""
    return podspec.uid(pod), podspec.mirrored_uid(pod)


def requests(pod: Object) -> dict[str, int]:
    """What the pod takes of the node, itself among the pods; CPU in thousandths."""
    found, _ = pod_requests_and_limits(pod)
    taken = {name: _amount(name, value) for name, value in found.items()}
    for name, value in (pod["spec"].get("overhead") or {}).items():
        taken[name] = taken.get(name, 0) + _amount(name, value)
    return {"pods": 1, **taken}


def _amount(name: str, value: str) -> int:
    return milli(value) if name == "cpu" else whole(value)


def is_critical(pod: Object) -> bool:
    """Whether the node must run the pod if anything at all: static ones, mirrors, and those of the highest priority."""
    return podspec.is_static(pod) or podspec.is_mirror(pod) or priority(pod) >= _CRITICAL


def priority(pod: Object) -> int:
    return int(pod["spec"].get("priority") or 0)


def admission(pod: Object, others: Sequence[Object], host: Host) -> Verdict:
    """`others` are the pods that the node has taken."""
    barred = _barred(pod, host)
    if barred is not None:
        return Verdict(barred)
    lacking, unfit = shortages(pod, others, host.allocatable), _unfit(pod, others, host)
    if lacking and not unfit and is_critical(pod):
        verdict = _making_room(pod, others, lacking)
    elif lacking and not is_critical(pod):
        verdict = Verdict(Trouble(f"OutOf{lacking[0].resource}", str(lacking[0])))
    else:
        verdict = Verdict(unfit)
    if verdict.refused is None and not host.has_apparmor and wants_apparmor(pod):
        return Verdict(Trouble("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"))
    return verdict


def _barred(pod: Object, host: Host) -> Trouble | None:
    """What no room could mend."""
    under = sorted(kind for kind in host.pressures if not _withstands(pod, kind))
    if under:
        return Trouble("Evicted", f"The node had condition: [{' '.join(under)}]. ")
    unsafe = next((name for name in _sysctls(pod) if name not in SAFE_SYSCTLS), None)
    if unsafe is not None:
        return Trouble("SysctlForbidden", f'forbidden sysctl: "{unsafe}" not allowlisted')
    if (pod["metadata"].get("labels") or {}).get("kubernetes.io/os", "linux") != "linux":
        said = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Trouble("PodOSSelectorNodeLabelDoesNotMatch", said)
    if (pod["spec"].get("os") or {}).get("name", "linux") != "linux":
        return Trouble("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    return None


def _unfit(pod: Object, others: Iterable[Object], host: Host) -> Trouble | None:
    """Why the node is not one for the pod, however much room there is."""
    view = Pod(pod)
    if not takes(view, host.labels, host.name):
        return _failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    wanted = host_ports(view)
    taken = [port for other in others if not podspec.is_terminal(other) for port in host_ports(Pod(other))]
    if any(conflict(mine, theirs) for mine in wanted for theirs in taken):
        return _failed("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    if not podspec.is_static(pod) and untolerated(host.taints, view.tolerations, ("NoExecute",)):
        return _failed("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    return None


def _failed(predicate: str, why: str) -> Trouble:
    return Trouble(predicate, f"Predicate {predicate} failed: {why}")


def _making_room(pod: Object, others: Sequence[Object], lacking: Sequence[Shortage]) -> Verdict:
    """A critical pod is taken at the cost of others."""
    wanted = {lack.resource: lack.requested - (lack.capacity - lack.used) for lack in lacking}
    candidates = [each for each in others if not podspec.is_terminal(each) and _yields(each, pod)]
    try:
        return Verdict(preempted=tuple(victims(candidates, wanted, requests)))
    except NoVictims as error:
        said = (
            "Unexpected error while attempting to recover from admission failure: "
            f"preemption: error finding a set of pods to preempt: {error}"
        )
        return Verdict(Trouble("UnexpectedAdmissionError", said))


def _yields(pod: Object, critical: Object) -> bool:
    return not is_critical(pod) or priority(critical) > priority(pod)


def wants_apparmor(pod: Object) -> bool:
    """Whether a container would run with less confinement than it was promised where there is no AppArmor."""
    of_pod = (pod["spec"].get("securityContext") or {}).get("appArmorProfile")
    profiles = [
        (spec.get("securityContext") or {}).get("appArmorProfile") or of_pod for spec in podspec.all_containers(pod)
    ]
    return any(profile and profile.get("type") != "Unconfined" for profile in profiles)


def _sysctls(pod: Object) -> list[str]:
    """By the names with dots that the kernel's documentation has."""
    wanted = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
    return [str(each["name"]).replace("/", ".") for each in wanted]


def _withstands(pod: Object, kind: str) -> bool:
    """Memory runs short for pods alone that ask for none, as those would be the first to be evicted again."""
    if is_critical(pod):
        return True
    if kind != "MemoryPressure":
        return False
    return podspec.qos_class(pod) != "BestEffort" or any(
        toleration.get("key", "") in ("", "node.kubernetes.io/memory-pressure")
        and toleration.get("effect", "") in ("", "NoSchedule")
        for toleration in pod["spec"].get("tolerations") or ()
    )
