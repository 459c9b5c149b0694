"""The node as the API knows it: registered with what the machine has, kept alive by a Lease."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from kubelet.admission import is_extended
from kubelet.config import KUBELET_VERSION, KubeletConfig
from kubelet.node_events import STARTING, Tell, node_events
from kubelet.node_health import Health
from kubelet.pressure_signals import memory
from machinery.api.errors import AlreadyExists, Conflict, NotFound, StatusError
from machinery.api.resource import Object
from machinery.api.resources import LEASES, NODES
from machinery.api.timestamps import rfc3339, rfc3339_micro
from machinery.client.cache import Cache
from machinery.client.client import Client
from machinery.client.clock import Clock, sleep_unless
from machinery.contain import contain
from machinery.structs import Struct, field

LEASE_SECONDS, RENEW, REPORT = 40, 10.0, 300.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_PRESSURES = {
    "MemoryPressure": (
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ),
    "DiskPressure": (
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ),
    "PIDPressure": (
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ),
}
"""Condition -> (reason, message) where all is well, and where it isn't."""


class Facts(Struct, frozen=True):
    """What this machine is; memory and disk in bytes."""

    hostname: str
    cpus: int
    memory: int
    disk: int
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    boot_id: str
    huge_pages: Mapping[int, int] = field(default_factory=dict)
    """Size of a page -> how many there are, for each size that the machine can have."""
    has_apparmor: bool = False


def facts(root: Path) -> Facts:
    """Reads the machine; `root` is where the kubelet keeps its data, whose disk counts."""
    existing = next(path for path in (root, *root.parents) if path.exists())
    disk = os.statvfs(existing)
    return Facts(
        hostname=platform.node().lower(),
        cpus=len(os.sched_getaffinity(0)),
        memory=memory()["MemTotal:"],
        disk=disk.f_blocks * disk.f_frsize,
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        kernel=platform.release(),
        os_image=_os_image(),
        machine_id=_read(Path("/etc/machine-id")),
        boot_id=_read(Path("/proc/sys/kernel/random/boot_id")),
        huge_pages=huge_pages(),
        has_apparmor=_read(Path("/sys/module/apparmor/parameters/enabled")) == "Y",
    )


def huge_pages(folder: Path = Path("/sys/kernel/mm/hugepages")) -> dict[int, int]:
    """Size in bytes -> count, from the kernel's `hugepages-2048kB/nr_hugepages`."""
    found = {}
    for path in folder.glob("hugepages-*kB"):
        size = int(path.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        found[size] = int(_read(path / "nr_hugepages") or 0)
    return found


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def node_labels(config: KubeletConfig, found: Facts) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": found.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": found.architecture,
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        "node-role.kubernetes.io/control-plane": "",
    }


def node_status(
    config: KubeletConfig,
    found: Facts,
    runtime: str,
    old: Object,
    now: datetime,
    health: Health = Health(),  # noqa: B008 - frozen
) -> Object:
    """The whole status; conditions keep the time of their last change. What others advertise of the node is theirs."""
    capacity: dict[str, str] = {
        "cpu": str(found.cpus),
        "ephemeral-storage": f"{found.disk // 1024}Ki",
        **{f"hugepages-{_binary(size)}": _binary(size * count) for size, count in sorted(found.huge_pages.items())},
        "memory": f"{found.memory // 1024}Ki",
        "pods": str(config.max_pods),
    }
    capacity |= {name: amount for name, amount in (old.get("capacity") or {}).items() if is_extended(name)}
    # Upstream's hard eviction thresholds are what pods can't have: 100Mi of memory, a tenth of the disk.
    huge = sum(size * count for size, count in found.huge_pages.items())
    allocatable = {
        **capacity,
        "ephemeral-storage": str(found.disk * 9 // 10),
        "memory": f"{max(found.memory - huge - (100 << 20), 0) // 1024}Ki",
    }
    return {
        **{key: value for key, value in old.items() if key in ("volumesInUse", "volumesAttached")},
        **({"images": images} if (images := health.image_list()) else {}),
        **health.runtime_features(),
        "capacity": capacity,
        "allocatable": allocatable,
        "conditions": _conditions(old, rfc3339(now), health),
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in config.node_ips),
            {"type": "Hostname", "address": config.node_name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "nodeInfo": {
            "machineID": found.machine_id,
            "systemUUID": found.machine_id,
            "bootID": found.boot_id,
            "kernelVersion": found.kernel,
            "osImage": found.os_image,
            "containerRuntimeVersion": runtime,
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": found.architecture,
        },
    }


def _binary(size: int) -> str:
    for suffix, factor in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if size and size % factor == 0:
            return f"{size // factor}{suffix}"
    return str(size)


def _conditions(old: Object, now: str, health: Health) -> list[Object]:
    before = {condition["type"]: condition for condition in old.get("conditions") or []}
    rows = [
        (kind, "True" if kind in health.short else "False", *words[kind in health.short])
        for kind, words in _PRESSURES.items()
    ]
    if health.runtime.not_ready:
        rows.append(("Ready", "False", "KubeletNotReady", "; ".join(health.runtime.not_ready)))
    else:
        rows.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    made = []
    for kind, status, reason, message in rows:
        same = before.get(kind, {}).get("status") == status
        made.append(
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": now,
                "lastTransitionTime": before[kind]["lastTransitionTime"] if same else now,
                "reason": reason,
                "message": message,
            }
        )
    return made + [condition for kind, condition in before.items() if kind not in {row[0] for row in rows}]


async def _healthy() -> Health:
    return Health()


def _silent(type_: str, reason: str, message: str) -> None:
    del type_, reason, message


async def run(
    reporter: Reporter, clock: Clock, woken: asyncio.Event, look: Callable[[], Awaitable[Health]] = _healthy
) -> None:
    """Registers the node, then keeps it; runs until cancelled. The status is written where `look` finds news.

    `woken` is set where there is no time to lose, as when the machine has another address.
    """
    reporter.say_started()
    reported: datetime | None = None
    told, known_by = Health(), ""
    while True:
        with contain("node status"):
            health = await look()
            is_known = not reporter.is_missing()
            if is_known:
                # Before the status: whoever is told that the node is Ready must not find its Lease run out.
                await reporter.renew()
            is_due = reported is None or clock.now() - reported >= timedelta(seconds=REPORT)
            address = reporter.address
            is_news = health != told or address != known_by or not is_known or reporter.is_given_up()
            if is_due or is_news or reporter.has_advertised():
                await reporter.report(health)
                reported, told, known_by = clock.now(), health, address
            if not is_known:
                await reporter.renew()
        await sleep_unless(woken, clock, RENEW if reported is not None else 1.0)


class Reporter:
    """Writes this machine's Node and Lease."""

    def __init__(
        self,
        config: KubeletConfig,
        client: Client,
        cache: Cache,
        clock: Clock,
        found: Facts,
        runtime: str,
        tell: Tell = _silent,
    ) -> None:
        self._tell = tell
        self._config = config
        self._client = client
        self._cache = cache
        self._clock = clock
        self._facts = found
        self._runtime = runtime

    @property
    def address(self) -> str:
        """By which the node is known now."""
        return self._config.node_ip

    def say_started(self) -> None:
        for event in STARTING:
            self._tell(*event)

    def is_missing(self) -> bool:
        return self._cache.get(NODES, "", self._config.node_name) is None

    def is_given_up(self) -> bool:
        """Whether others take the node for dead, as after a pause that was longer than its Lease."""
        node = self._cache.get(NODES, "", self._config.node_name)
        conditions = ((node or {}).get("status") or {}).get("conditions") or ()
        return any(each["type"] == "Ready" and each["status"] == "Unknown" for each in conditions)

    def has_advertised(self) -> bool:
        """Whether somebody has written into the capacity what is not allotted yet, or has taken it out again."""
        status = (self._cache.get(NODES, "", self._config.node_name) or {}).get("status") or {}
        has, allots = (set(filter(is_extended, status.get(field) or ())) for field in ("capacity", "allocatable"))
        return has != allots

    async def report(self, health: Health) -> None:
        """The Node as it is now, made where there is none."""
        name = self._config.node_name
        old = self._cache.get(NODES, "", name)
        told: Object = (old or {}).get("status") or {}
        if old is None:
            await self._register(health)
            old = await self._client.get(NODES, name)
        wanted = node_labels(self._config, self._facts)
        status = node_status(
            self._config, self._facts, self._runtime, old.get("status") or {}, self._clock.now(), health
        )
        if wanted.items() - (old["metadata"].get("labels") or {}).items():
            await self._client.patch(NODES, name, {"metadata": {"labels": wanted}})
        allots = {**dict.fromkeys((old.get("status") or {}).get("allocatable") or ()), **status["allocatable"]}
        patch = {"status": {**status, "allocatable": allots}}
        await self._client.patch(NODES, name, patch, subresource="status")
        for event in node_events(name, told, status):
            self._tell(*event)

    async def _register(self, health: Health) -> None:
        name = self._config.node_name
        metadata = {"name": name, "labels": node_labels(self._config, self._facts)}
        status = node_status(self._config, self._facts, self._runtime, {}, self._clock.now(), health)
        cidrs = self._config.pod_cidrs
        spec = {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status}
        try:
            await self._client.create(NODES, node)
        except AlreadyExists:
            return

    async def renew(self) -> None:
        """Renews the Lease by which the control plane sees that the node lives."""
        name, namespace = self._config.node_name, "kube-node-lease"
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": rfc3339_micro(self._clock.now()),
        }
        lease = self._cache.get(LEASES, namespace, name)
        try:
            if lease is None:
                await self._client.create(LEASES, self._new_lease(name, namespace, spec), namespace)
            else:
                await self._client.update(LEASES, {**lease, "spec": {**lease["spec"], **spec}})
        except (AlreadyExists, Conflict, NotFound):
            # Another write came between; the next renewal is soon enough.
            return
        except StatusError as error:
            raise RuntimeError(f"the lease can't be renewed: {error.message}") from error

    def _new_lease(self, name: str, namespace: str, spec: Object) -> Object:
        node = self._cache.get(NODES, "", name)
        metadata: Object = {"name": name, "namespace": namespace}
        if node is not None:
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
            metadata["ownerReferences"] = [owner]
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
