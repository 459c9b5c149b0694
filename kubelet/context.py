"""What every pod worker works with: the node's one client, cache, runtime and queues. Built once by the kubelet."""

from __future__ import annotations

from asyncio import Queue, TaskGroup
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from kubelet import podspec
from kubelet.admission import Host
from kubelet.backoff import Backoff
from kubelet.config import KubeletConfig
from kubelet.cri import Cri
from kubelet.cri_values import RuntimeVersion
from kubelet.eviction import Pressure
from kubelet.images import ImagePuller
from kubelet.policy.enforcer import Enforcer
from kubelet.sandboxconfig import Dns, parse_resolv_conf
from kubelet.tokens import Tokens
from machinery.api.errors import StatusError
from machinery.api.resource import Object
from machinery.api.resources import NODES
from machinery.api.views import Node
from machinery.client.cache import Cache
from machinery.client.client import Client
from machinery.client.clock import Clock
from machinery.client.recorder import EventRecorder
from machinery.structs import Struct, field, replace


class EventQueue:
    """Events in the order in which they were told, written by one task, so that no pod waits for them."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._queue: Queue[tuple[Object, str, str, str, str]] = Queue()

    def tell(self, obj: Object, type_: str, reason: str, message: str, *, container: str = "") -> None:
        path = podspec.field_path(obj, container) if container else ""
        self._queue.put_nowait((obj, type_, reason, message, path))

    async def run(self) -> None:
        while True:
            obj, type_, reason, message, path = await self._queue.get()
            await self._recorder.record(obj, type_, reason, message, field_path=path)


class PodContext(Struct, frozen=True):
    config: KubeletConfig
    client: Client
    cache: Cache
    clock: Clock
    cri: Cri
    events: EventQueue
    images: ImagePuller
    tokens: Tokens
    group: TaskGroup
    runtime: RuntimeVersion
    memory_capacity: int
    allocatable: Object
    labels: Mapping[str, str]
    host_dns: Dns
    pressure: Callable[[], Pressure]
    has_apparmor: bool
    neighbours: Callable[[], Sequence[Object]]
    """The pods that the node has taken, static ones among them."""
    preempt: Callable[[Sequence[Object]], Awaitable[None]]
    """Ends these pods for one that is critical."""
    policy: Enforcer | None = None
    crashes: Backoff = field(default_factory=Backoff)

    def pods_here(self) -> Sequence[Object]:
        """The pods that are bound to this node, as the API has them."""
        return self.cache.on_node(self.config.node_name)

    def host(self) -> Host:
        """What admission asks of the node: as the API has it, with what the kubelet knows until it is registered."""
        return self._host(self.cache.get(NODES, "", self.config.node_name) or {"metadata": {"labels": self.labels}})

    async def host_anew(self) -> Host:
        """The same, asked of the API server: a cache may lag behind a label that has just come."""
        try:
            return self._host(await self.client.get(NODES, self.config.node_name))
        except StatusError:
            return self.host()

    def _host(self, found: Object) -> Host:
        name, node = self.config.node_name, Node(found)
        return Host(
            name,
            {**self.allocatable, **node.allocatable},
            node.labels,
            node.taints,
            self.pressure().conditions,
            self.has_apparmor,
        )


def host_resolver(path: Path = Path("/etc/resolv.conf")) -> Dns:
    """The host's resolvers but for those on its loopback, which no pod can reach."""
    behind_stub = Path("/run/systemd/resolve/resolv.conf")
    try:
        found = parse_resolv_conf((behind_stub if behind_stub.exists() else path).read_text())
    except OSError:
        return Dns()
    return replace(found, servers=tuple(each for each in found.servers if not each.startswith("127.")))
