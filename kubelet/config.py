"""What a kubelet must be told. Everything else it finds out by itself: from the host, the runtime, the API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kubelet.image_gc import ImageGcPolicy
from kubelet.proxy.proxy import ProxyConfig
from machinery.structs import Struct

KUBELET_VERSION = "v1.36.2"


class KubeletConfig(Struct, frozen=True):
    """`pod_logs_dir` is the runtime's view too: CRI is told paths below it. No certificate: no HTTPS server."""

    node_name: str
    node_addresses: Callable[[], tuple[str, ...]]
    """The machine's own, by which the node is known, one a family, the cluster's first one first: a laptop's change."""
    root_dir: Path = Path("/var/lib/minikube-py/kubelet")
    pod_logs_dir: Path = Path("/var/log/pods")
    runtime_endpoint: str = "unix:///run/minikube-py/cri.sock"
    port: int = 10250
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    manifests_dir: Path | None = None
    """Where static pods' manifests are; None: there are no static pods."""
    cgroup_root: str = "/kubepods"
    pod_cidrs: tuple[str, ...] = ("10.244.0.0/24",)
    max_pods: int = 110
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    container_log_max_size: int = 10 << 20
    container_log_max_files: int = 5
    image_gc: ImageGcPolicy = ImageGcPolicy()
    proxy: ProxyConfig | None = None
    """None: Services are another proxy's."""
    policy_table: str = ""
    """The nftables table of NetworkPolicies; empty: they are someone else's to enforce."""

    @property
    def node_ips(self) -> tuple[str, ...]:
        """As they are now."""
        return self.node_addresses()

    @property
    def node_ip(self) -> str:
        """The first one."""
        return self.node_ips[0]

    @property
    def pods_dir(self) -> Path:
        return self.root_dir / "pods"

    @property
    def seccomp_dir(self) -> Path:
        return self.root_dir / "seccomp"
