"""The composition root: the one file that knows every component, and one TaskGroup that holds them all.

A component that ends takes the group down, and with it the process (`process.py` says what happens then); the
containers belong to conmon and outlive it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from apiserver.config import ApiServerConfig
from apiserver.server import ApiServer
from apiserver.storage.store import Store, StoreUnavailableError
from machinery import loop_lag
from machinery.api.resources import NODES, PODS
from machinery.api.timestamps import parse_time
from machinery.client.cache import Change
from machinery.client.clock import SystemClock
from machinery.features import features
from machinery.ip_families import families_of
from machinery.pki import Pki
from minikube_py import children, memory, node, systemd
from minikube_py.addons.metrics.scraper import Scraper
from minikube_py.config import NODE_PREFIXES, Config
from minikube_py.foundation import Foundation
from minikube_py.instance import InstanceError, State
from minikube_py.keys import Keys
from minikube_py.whereabouts import LOOPBACK, Machine

LOG = logging.getLogger("cluster")
CONTROLLERS = "system:kube-controller-manager"
"""As whom controllers act that have no ServiceAccount."""


async def run(config: Config, state: State, ending: asyncio.Future[bool]) -> None:
    """Runs the cluster until `ending` is set; True there ends the pods by their grace first."""
    async with asyncio.TaskGroup() as group:
        keepers = [group.create_task(_child(config, *child)) for child in _children(config)]
        keepers += [group.create_task(loop_lag.watch()), group.create_task(memory.keep_trimmed())]
        async with _store(config, state) as store:
            base = await _foundation(config, store)
            parts = await _start(group, state, base)
            end_pods = await ending
            state.phase = "stopping"
            state.write(config.state_file)
            systemd.notify("STOPPING=1")
            names = [part for part in parts if part.get_name() == "dns"]
            await _ended([part for part in parts if part not in names])
            if end_pods and "kubelet" in config.components:
                await _end_pods(group, config)
            await base.server.stop()
            # Last, as pods ask on, those that end too, and the next process answers soon.
            await _ended(names)
        for keeper in keepers:
            keeper.cancel()


async def _ended(parts: Sequence[asyncio.Task[None]]) -> None:
    for part in reversed(parts):
        part.cancel()
    await asyncio.gather(*parts, return_exceptions=True)


async def _foundation(config: Config, store: Store) -> Foundation:
    clock = SystemClock()
    machine = Machine(config.bridge, clock, families_of(config.pod_cidr))
    if "kubelet" in config.components and not node.uses_bridge(config):
        await machine.look()
    keys = Keys(config, machine)
    server = ApiServer(_api_config(config, keys.pki, machine), store, clock)
    machine.follow(keys.move)
    machine.follow_time(keys.renew)
    return Foundation(config, server, keys, machine, clock)


def _follows_addresses(config: Config) -> bool:
    """An API server that is asked from here alone need not."""
    return "kubelet" in config.components or not {"0.0.0.0", "::"}.isdisjoint(config.bind)


async def _watches(base: Foundation) -> list[Coroutine[Any, Any, None]]:
    """What follows the machine, of which all is known when this returns; the kubeconfig is there then, too."""
    base.keys.write_kubeconfig()
    found = [base.machine.watch_time(), base.keys.renew_daily(base.clock)]
    if _follows_addresses(base.config):
        # Without a network the node is known by the bridge, which the runtime has made.
        await base.machine.look()
        found.append(base.machine.watch_addresses())
    return found


async def _start(group: asyncio.TaskGroup, state: State, base: Foundation) -> list[asyncio.Task[None]]:
    """Starts what `--components` names, in the order in which they need one another; the tasks in that order."""
    config, server = base.config, base.server
    parts: list[asyncio.Task[None]] = []

    def start(name: str, body: Coroutine[Any, Any, None]) -> None:
        parts.append(group.create_task(_component(name, body), name=name))
        say(name, "running")

    def say(name: str, what: str) -> None:
        state.components[name] = what
        state.write(config.state_file)

    if "scheduler" in config.components and config.scheduler_config:
        from minikube_py import scheduler_config

        # Before anything runs that a mistake in the file would end.
        scheduler_config.load(config.scheduler_config)
    ready, answering, settled = asyncio.Event(), asyncio.Event(), asyncio.Event()
    scraper = Scraper(server.cache, server.node_summary, base.clock)
    server.serve_metrics(scraper)
    say("apiserver", "starting")
    await _listen(base)
    start("apiserver", server.run())
    if "kubelet" in config.components:
        # Before all else: pods that outlived the last process ask on meanwhile.
        start("dns", node.dns(base, answering, settled))
        await answering.wait()
    if config.has_runtime:
        start("runtime", node.serve_runtime(config, ready, settled))
        await ready.wait()
    parts += [group.create_task(body) for body in await _watches(base)]
    # Controllers act under roles that the server makes by itself after its start.
    await server.ready.wait()
    if "controllers" in config.components:
        start("controllers", _controllers(base, scraper, settled))
    if "scheduler" in config.components:
        start("scheduler", _scheduler(base))
    # From here on it may take as long as another runtime takes to come up.
    memory.collect_from_now_on()
    if "kubelet" in config.components:
        start("kubelet", node.kubelet(base))
        await _node_ready(server, config.node, state.started)
    _say_ready(config, state)
    # What the start has made stays: no later pass of the collector need look at it.
    gc.freeze()
    _keep_systemd_told(server)
    settled.set()
    for name, body in _addons(base, scraper):
        start(name, body)
    LOG.info("ready after %.2f s", state.ready_after)
    return parts


async def _listen(base: Foundation) -> None:
    """Has the API server listen, and answer to all that leads to this machine."""
    await base.server.start()
    await base.keys.move()

    async def move() -> None:
        await base.server.move(node.pods_way(base.config, base.machine))

    if "kubelet" in base.config.components:
        # Pods with another network than the bridge reach it at the machine's own address.
        base.machine.follow(move)


def _addons(base: Foundation, scraper: Scraper) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
    """What the node is Ready without."""
    if "kubelet" in base.config.components:
        yield "storage", node.storage(base)
        yield "metrics", node.metrics(base.server, scraper)
        if base.config.ingress != "off":
            yield "ingress", node.ingress(base)


def _say_ready(config: Config, state: State) -> None:
    state.ready_after = time.time() - state.started
    state.phase, state.reason = "ready", ""
    state.write(config.state_file)
    systemd.notify("READY=1")


async def _scheduler(base: Foundation) -> None:
    from minikube_py import scheduler_config
    from scheduler.loop import run as run_scheduler

    scheduling = scheduler_config.load(base.config.scheduler_config)

    client = base.server.client("system:kube-scheduler", ("system:authenticated",))
    await run_scheduler(client, base.server.cache, base.clock, scheduling)


async def _controllers(base: Foundation, scraper: Scraper, settled: asyncio.Event) -> None:
    """The controllers, and beside them what plays nodes that nobody runs."""
    from controllers.certificates import certificate_controllers
    from controllers.node_ipam import node_ipam
    from controllers.runner import run as run_controllers
    from controllers.runner import run_each
    from controllers.service_load_balancer import nothing_listens
    from controllers.token_secrets import token_secrets
    from machinery.signing import signed
    from minikube_py.host_listeners import HostListeners

    config, server, pki, clock = base.config, base.server, base.keys.pki, base.clock
    certificates = certificate_controllers(partial(signed, pki.authority), server.may_request_certificate)
    own = (*certificates, node_ipam(config.pod_cidr, NODE_PREFIXES))
    heard = HostListeners(clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(heard.run())
        group.create_task(
            run_controllers(
                server.controller_client,
                server.cache,
                clock,
                root_ca=pki.ca_pem.decode(),
                usages=lambda: scraper.latest,
                features=features(config.feature_gates),
                listening=heard.taken if "kubelet" in config.components else nothing_listens,
            )
        )
        group.create_task(run_each(own, server.controller_client, server.cache, clock))
        # Upstream's has no account of its own either: it is what accounts get their tokens from.
        tokens = token_secrets(pki.ca_pem.decode(), server.token_for_secret)
        group.create_task(run_each((tokens,), lambda _: server.client(CONTROLLERS), server.cache, clock))
        group.create_task(_simulation(base, settled))


async def _simulation(base: Foundation, settled: asyncio.Event) -> None:
    """Plays nodes, of which there are mostly none: this one is Ready without."""
    await settled.wait()
    from minikube_py.simulation.kubelets import run as run_simulation

    client = base.server.client("minikube-py:simulation", ("system:masters",))
    await run_simulation(client, base.server.cache, base.clock)


async def _component(name: str, body: Coroutine[Any, Any, None]) -> None:
    await body
    raise InstanceError(f"the {name} ended")


async def _node_ready(server: ApiServer, name: str, started: float) -> None:
    """Returns once the kubelet of this start (Unix time) has told that the node is Ready."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(change: Change) -> None:
        conditions = (change.after or {}).get("status", {}).get("conditions") or []
        is_ready = any(
            c["type"] == "Ready"
            and c["status"] == "True"
            and parse_time(c["lastHeartbeatTime"]).timestamp() >= int(started)
            for c in conditions
        )
        if change.object["metadata"]["name"] == name and is_ready and not ready.done():
            ready.set_result(None)

    unsubscribe = server.cache.subscribe(NODES, look)
    try:
        await ready
    finally:
        unsubscribe()


def _keep_systemd_told(server: ApiServer) -> None:
    """`systemctl status` shows version, nodes and pods as they are; nothing where systemd did not ask."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    told = ""

    def tell(change: Change) -> None:
        nonlocal told
        nodes, pods = server.cache.list(NODES), server.cache.list(PODS)
        running = sum(pod.get("status", {}).get("phase") == "Running" for pod in pods)
        status = f"{server.version}, {len(nodes)} node(s), {running} of {len(pods)} pod(s) running"
        if status != told:
            told = status
            systemd.notify(f"STATUS={status}")

    server.cache.subscribe(NODES, tell)
    server.cache.subscribe(PODS, tell)


async def _end_pods(group: asyncio.TaskGroup, config: Config) -> None:
    """Ends all sandboxes by their containers' grace, over CRI as the kubelet would."""
    ready = asyncio.Event()
    runtime = group.create_task(node.serve_runtime(config, ready, asyncio.Event())) if config.has_runtime else None
    if runtime:
        await ready.wait()
    try:
        await node.end_sandboxes(config)
    finally:
        if runtime:
            runtime.cancel()


@asynccontextmanager
async def _store(config: Config, state: State) -> AsyncIterator[Store]:
    try:
        if config.etcd_servers:
            from apiserver.storage.etcd import EtcdStore

            for name, port in children.ports(config).items():
                if name == children.ETCD.name:
                    await children.answering(port, 30.0)
            state.store = f"etcd at {', '.join(config.etcd_servers)}"
            store: Store = await EtcdStore.connect(
                config.etcd_servers,
                ca=config.etcd_cafile,
                cert=config.etcd_certfile,
                key=config.etcd_keyfile,
                prefix=config.etcd_prefix,
            )
        else:
            from apiserver.storage.sqlite import SqliteStore

            state.store = f"embedded in {config.data_dir / 'store.db'}"
            store = await SqliteStore.open(config.data_dir / "store.db")
    except StoreUnavailableError as error:
        raise InstanceError(str(error)) from error
    try:
        yield store
    finally:
        await store.close()


def _children(config: Config) -> list[tuple[children.Child, int]]:
    ports = children.ports(config)
    return [(child, ports[child.name]) for child in children.CHILDREN if child.name in ports]


async def _child(config: Config, child: children.Child, port: int) -> None:
    await children.run(config, child, port)


def _api_config(config: Config, pki: Pki, machine: Machine) -> ApiServerConfig:
    way = node.pods_way(config, machine)
    # Whatever network the machine is in, its own commands find the server.
    binds = dict.fromkeys([*config.bind, LOOPBACK, *([way] if "kubelet" in config.components else [])])
    return ApiServerConfig(
        data_dir=config.data_dir,
        bind=tuple(binds),
        port=config.port,
        service_cidrs=config.service_cidr,
        feature_flags=features(config.feature_gates),
        # What pods reach: the server listens there whatever else it is bound to.
        advertise_address=way,
        pki=pki,
    )
