"""What all workers of a kubelet share: configuration, runtime, API, clock, and what the host was found to have."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

from kubelet import podspec
from kubelet.config import KubeletConfig
from kubelet.cri import Cri
from kubelet.images import ImagePuller
from kubelet.sandboxconfig import Dns, log_directory, parse_resolv_conf
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
    resolver: Dns
    runtime_name: str
    memory_capacity: int

    def remove_folders(self, pod: Object) -> None:
        """Removes the pod's own folder and its logs; blocks, so it belongs into a thread."""
        for folder in (self.config.pods_dir / podspec.uid(pod), log_directory(pod, self.config)):
            shutil.rmtree(folder, ignore_errors=True)


def host_resolver(path: Path = Path("/etc/resolv.conf")) -> Dns:
    """The host's resolvers but for those on its loopback, which no pod can reach."""
    try:
        found = parse_resolv_conf(path.read_text())
    except OSError:
        return Dns()
    return dataclasses.replace(found, servers=tuple(each for each in found.servers if not each.startswith("127.")))


def memory_capacity() -> int:
    """The node's memory in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0
