"""The node's half of the composition: runtime and kubelet, configured for this machine and this instance."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from apiserver.server import ApiServer
from apiserver.storage.store import StoreUnavailableError
from minikube_py import containerd_link
from minikube_py.addons.metrics.scraper import Scraper
from minikube_py.config import CLUSTER_DOMAIN, Config, duration
from minikube_py.foundation import Foundation
from minikube_py.whereabouts import Machine
from runtime.config import RuntimeConfig

if TYPE_CHECKING:
    from kubelet.proxy.proxy import ProxyConfig


def pods_way(config: Config, machine: Machine) -> str:
    """The address by which pods reach this machine: the bridge's, or its own where they have another network."""
    return config.gateways[0] if uses_bridge(config) else machine.address


def uses_bridge(config: Config) -> bool:
    """Whether pods get the built-in network: neither another runtime's nor one of the user's."""
    from runtime.network.selection import has_own

    return config.has_runtime and not has_own(runtime_config(config))


def runtime_config(config: Config) -> RuntimeConfig:
    return RuntimeConfig(
        root=config.data_dir / "runtime",
        run=config.run_dir,
        socket=config.cri_socket,
        instance=config.instance,
        pod_cidrs=config.node_cidrs,
        bridge=config.bridge,
        mirrors=mirrors(config.registry_mirror),
        archives=config.data_dir / "images",
        cni=Path(config.cni_conf_dir) if config.cni_conf_dir else None,
    )


def mirrors(options: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Host -> its mirrors' URLs, in the order given; a URL alone is one of docker.io."""
    found: dict[str, tuple[str, ...]] = {}
    for option in options:
        host, equals, url = option.partition("=")
        host, url = (host, url) if equals else ("docker.io", option)
        found[host] = (*found.get(host, ()), url)
    return found


async def serve_runtime(config: Config, ready: asyncio.Event, settled: asyncio.Event) -> None:
    """Sets `ready`; what can wait begins once `settled` is set."""
    from runtime.server import serve

    containerd_link.make(config.cri_socket)
    try:
        await serve(runtime_config(config), ready=ready, settled=settled)
    finally:
        containerd_link.remove(config.cri_socket)


async def kubelet(base: Foundation) -> None:
    from kubelet.config import KubeletConfig
    from kubelet.image_gc import ImageGcPolicy
    from kubelet.kubelet import Kubelet

    config, server, machine = base.config, base.server, base.machine
    pair = base.keys.of_kubelet()
    settings = KubeletConfig(
        node_name=config.node,
        node_addresses=lambda: machine.addresses,
        root_dir=config.data_dir / "kubelet",
        pod_logs_dir=pod_logs_dir(config),
        runtime_endpoint=config.runtime_endpoint,
        port=config.kubelet_port,
        tls_cert=Path(pair.certificate),
        tls_key=Path(pair.key),
        client_ca=config.data_dir / "pki" / "ca.crt",
        manifests_dir=config.data_dir / "manifests",
        cgroup_root=f"/minikube-py-{config.instance}",
        pod_cidrs=config.node_cidrs,
        image_gc=ImageGcPolicy(
            high=config.image_gc_high_threshold,
            low=config.image_gc_low_threshold,
            maximum_age=duration(config.image_maximum_gc_age),
        ),
        proxy=proxy_config(config),
        policy_table=policy_table(config),
        cluster_dns=(config.cluster_dns,),
        cluster_domain=CLUSTER_DOMAIN,
    )
    client = server.client(f"system:node:{config.node}", ("system:nodes", "system:authenticated"), program="kubelet")
    made = Kubelet(settings, client, server.cache, base.clock)
    base.keys.follow(made.reload_certificate)
    machine.follow(made.move)
    machine.follow_time(made.awake)
    await made.run()


async def dns(base: Foundation, answering: asyncio.Event, settled: asyncio.Event) -> None:
    """The cluster's DNS, behind its Service; where pods reach this machine by another address it is there.

    Sets `answering` once those are answered who may ask already.
    """
    from minikube_py.addons.dns import service

    config, server, machine = base.config, base.server, base.machine
    port = service.published_port(server.cache)
    if not port:
        # Nobody can: the first start of all need not wait for the library.
        answering.set()
        await settled.wait()
    from minikube_py.addons.dns.server import DnsServer

    client = server.client("minikube-py:dns", ("system:masters",))
    moved = asyncio.Event()
    serving: DnsServer | None = None

    async def move() -> None:
        if serving is not None and serving.address != pods_way(config, machine):
            moved.set()
        elif serving is not None:
            serving.ask_anew()

    machine.follow(move)
    machine.follow_time(move)
    while True:
        moved.clear()
        serving = DnsServer(server.cache, CLUSTER_DOMAIN, pods_way(config, machine), port=port)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(serving.run())
            await serving.ready.wait()
            answering.set()
            await server.ready.wait()
            # A cluster that ends meanwhile has nobody to tell, and its pods ask on until they have ended.
            with contextlib.suppress(StoreUnavailableError):
                await service.publish(client, config.cluster_dns, serving.address, serving.port)
            await moved.wait()
            running.cancel()


async def ingress(base: Foundation) -> None:
    """The Ingress controller; without Ingresses it only listens for them."""
    from minikube_py.addons.ingress.controller import IngressConfig, IngressController

    config = base.config
    pair = base.keys.of_ingress()
    settings = IngressConfig(
        folder=config.run_dir / "ingress",
        log=config.data_dir / "ingress.log",
        certificate=Path(pair.certificate),
        key=Path(pair.key),
        http_port=config.ingress_http_port,
        https_port=config.ingress_https_port,
        always=config.ingress == "on",
    )
    client = base.server.client("minikube-py:ingress", ("system:masters",))
    await IngressController(settings, client, base.server.cache, base.clock).run()


async def metrics(server: ApiServer, scraper: Scraper) -> None:
    """What nodes and pods use, kept fresh for autoscalers."""
    from minikube_py.addons.metrics import service

    await service.publish(server.client("minikube-py:metrics", ("system:masters",)), datetime.now(UTC))
    await scraper.run()


async def storage(base: Foundation) -> None:
    """The default StorageClass, and the directories of its volumes on this node."""
    from kubelet.local_path_provisioner import LocalPathProvisioner
    from minikube_py.addons import storage as addon

    config, server = base.config, base.server
    await addon.publish(server.client("minikube-py:storage", ("system:masters",)))
    client = server.controller_client(addon.ACCOUNT)
    directory = config.data_dir / "storage"
    await LocalPathProvisioner(client, server.cache, base.clock, config.node, directory).run()


def proxy_config(config: Config) -> ProxyConfig:
    from kubelet.proxy.proxy import ProxyConfig

    bridge = config.bridge if uses_bridge(config) else ""
    return ProxyConfig(f"mkpy-{config.instance}-services", config.pod_cidr, config.service_cidr, bridge)


def policy_table(config: Config) -> str:
    return f"mkpy-{config.instance}-policies"


def pod_logs_dir(config: Config) -> Path:
    """Where every Kubernetes node has them; another cluster on the machine has its own."""
    return Path("/var/log/pods") if config.is_default else config.data_dir / "pod-logs"


async def end_sandboxes(config: Config) -> None:
    """Stops every container by the grace that its pod asked for, then its sandbox, all side by side."""
    import grpc.aio

    from machinery.rpc.wire import CRI

    message = CRI.message
    async with grpc.aio.insecure_channel(config.runtime_endpoint) as channel:
        cri = CRI.stub(channel, "runtime.v1.RuntimeService")
        sandboxes = (await cri.ListPodSandbox(message("runtime.v1.ListPodSandboxRequest")())).items
        containers = (await cri.ListContainers(message("runtime.v1.ListContainersRequest")())).containers

        async def end(sandbox: str) -> None:
            stop, remove = message("runtime.v1.StopContainerRequest"), message("runtime.v1.RemovePodSandboxRequest")
            await asyncio.gather(
                *(
                    cri.StopContainer(stop(container_id=c.id, timeout=_grace(c.annotations)))
                    for c in containers
                    if c.pod_sandbox_id == sandbox
                )
            )
            await cri.StopPodSandbox(message("runtime.v1.StopPodSandboxRequest")(pod_sandbox_id=sandbox))
            await cri.RemovePodSandbox(remove(pod_sandbox_id=sandbox))

        await asyncio.gather(*(end(sandbox.id) for sandbox in sandboxes))


def _grace(annotations: dict[str, str]) -> int:
    """Seconds, as the kubelet notes them on the container; Kubernetes' default where it did not."""
    return int(annotations.get("io.kubernetes.pod.terminationGracePeriod", "30"))


async def destroy(config: Config) -> None:
    """Removes everything that runtime and kubelet made: containers, mounts, links, rules, cgroups, logs."""
    import shutil

    from kubelet.policy import enforcer
    from kubelet.proxy import proxy
    from runtime.server import destroy as destroy_runtime

    await destroy_runtime(runtime_config(config))
    await asyncio.to_thread(proxy.tear_down, proxy_config(config))
    await asyncio.to_thread(enforcer.tear_down, policy_table(config))
    containerd_link.remove(config.cri_socket)
    _unmount_below(config.data_dir)
    if not config.is_default and pod_logs_dir(config).exists():
        shutil.rmtree(pod_logs_dir(config))


def _unmount_below(folder: Path) -> None:
    from machinery.linux.mount import unmount

    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed([p for p in points if p.startswith(f"{folder}/")]):
        unmount(Path(point), lazily=True)
