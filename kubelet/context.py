"""What all workers of a kubelet share: configuration, runtime, API, clock, and what the host was found to have."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from kubelet import podspec
from kubelet.config import KubeletConfig
from kubelet.cri import Cri
from kubelet.cri_config import Resolver, log_directory
from kubelet.start import ImagePuller
from kubelet.tokens import Tokens
from machinery.api.resource import Object
from machinery.client.cache import Cache
from machinery.client.client import Client
from machinery.client.clock import Clock
from machinery.client.recorder import EventRecorder


@dataclass(frozen=True)
class Context:
    """`runtime_name` is the scheme of container ids, `memory_capacity` the node's in bytes."""

    config: KubeletConfig
    cri: Cri
    client: Client
    cache: Cache
    clock: Clock
    recorder: EventRecorder
    puller: ImagePuller
    tokens: Tokens
    resolver: Resolver
    runtime_name: str
    memory_capacity: int

    def remove_folders(self, pod: Object) -> None:
        """Removes the pod's own folder and its logs; blocks, so it belongs into a thread."""
        for folder in (self.config.pods_dir / podspec.uid(pod), log_directory(self.config.pod_logs_dir, pod)):
            shutil.rmtree(folder, ignore_errors=True)


def host_resolver(path: Path = Path("/etc/resolv.conf")) -> Resolver:
    """The host's resolvers, which pods use until the cluster has a DNS of its own."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return Resolver()
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "nameserver" and not rest.strip().startswith("127."):
            servers.append(rest.strip())
        elif word == "search":
            searches = rest.split()
        elif word == "options":
            options = rest.split()
    return Resolver(tuple(servers), tuple(searches), tuple(options))


def memory_capacity() -> int:
    """The node's memory in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0
