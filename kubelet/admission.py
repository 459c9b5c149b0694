"""Whether the node takes a pod that was bound to it: room, and the pressure under which it stands. Pure.

The scheduler has asked all this already; a pod that names its node itself has not been asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from kubelet import podspec
from kubelet.resources import milli, pod_requests_and_limits, whole
from kubelet.statusinput import Trouble
from machinery.api.resource import Object

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


@dataclass(frozen=True)
class Shortage:
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


def shortage(pod: Object, others: Iterable[Object], allocatable: Mapping[str, str]) -> Shortage | None:
    """What the node lacks for the pod beside the others; those that have ended need nothing."""
    uid = podspec.uid(pod)
    active = [each for each in others if uid not in _uids(each) and not podspec.is_terminal(each)]
    capacity = int(allocatable["pods"])
    if len(active) + 1 > capacity:
        return Shortage("pods", 1, len(active), capacity)
    wanted = _requests(pod)
    used: dict[str, int] = {}
    for each in active:
        for name, value in _requests(each).items():
            used[name] = used.get(name, 0) + value
    for name, value in wanted.items():
        has = _amount(name, allocatable.get(name, "0"))
        if value and used.get(name, 0) + value > has:
            return Shortage(name, value, used.get(name, 0), has)
    return None


def _uids(pod: Object) -> tuple[str, str]:
    """A mirror stands for the static pod whose uid it names."""
    return podspec.uid(pod), podspec.mirrored_uid(pod)


def _requests(pod: Object) -> dict[str, int]:
    requests, _ = pod_requests_and_limits(pod)
    return {name: _amount(name, value) for name, value in requests.items()}


def _amount(name: str, value: str) -> int:
    return milli(value) if name == "cpu" else whole(value)


def is_critical(pod: Object) -> bool:
    """Whether the node must run the pod if anything at all: static ones, mirrors, and those of the highest priority."""
    return podspec.is_static(pod) or podspec.is_mirror(pod) or int(pod["spec"].get("priority") or 0) >= _CRITICAL


def refusal(
    pod: Object,
    others: Iterable[Object],
    allocatable: Mapping[str, str],
    pressures: Collection[str],
    *,
    has_apparmor: bool = True,
) -> Trouble | None:
    """Why the node doesn't take the pod: reason and message of the event."""
    if (pod["spec"].get("os") or {}).get("name", "linux") != "linux":
        return Trouble("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    if not has_apparmor and wants_apparmor(pod):
        return Trouble("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    unsafe = next((name for name in _sysctls(pod) if name not in SAFE_SYSCTLS), None)
    if unsafe is not None:
        return Trouble("SysctlForbidden", f'forbidden sysctl: "{unsafe}" not allowlisted')
    under = sorted(kind for kind in pressures if not _withstands(pod, kind))
    if under:
        return Trouble("Evicted", f"The node had condition: [{' '.join(under)}]. ")
    lack = shortage(pod, others, allocatable)
    if lack is not None:
        return Trouble(f"OutOf{lack.resource}", str(lack))
    return None


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
