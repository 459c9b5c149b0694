"""The kubelet: registers the node, gives each pod bound to it a worker, and cleans up after those that are gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from kubelet import node_health, node_status, podspec
from kubelet.config import KubeletConfig
from kubelet.context import EventQueue, PodContext, host_resolver
from kubelet.cri import Cri, RuntimeFailure
from kubelet.cri_values import RuntimeVersion
from kubelet.ending import remove_traces, stop_containers, stop_sandboxes
from kubelet.evictor import Evictor
from kubelet.image_collector import ImageCollector
from kubelet.images import ImagePuller
from kubelet.logrotation import LogRotator
from kubelet.manifests import Manifests
from kubelet.mirrors import Mirrors
from kubelet.pleg import Pleg
from kubelet.podconditions import is_to_be_judged
from kubelet.podworker import PodWorker
from kubelet.policy.enforcer import Enforcer
from kubelet.proxy.health import HealthChecks
from kubelet.proxy.proxy import Proxy
from kubelet.proxy.shadows import ShadowWatch
from kubelet.pulled_images import PulledImages
from kubelet.sandboxconfig import log_directory
from kubelet.server import KubeletServer
from kubelet.staticpods import by_uid
from kubelet.streaming import Streaming
from kubelet.tokens import Tokens
from machinery.api.resource import Object
from machinery.api.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PODS, SECRETS
from machinery.api.views import Pod
from machinery.api.volumes import claim_names
from machinery.client.cache import Cache, Change
from machinery.client.client import Client
from machinery.client.clock import Clock
from machinery.client.recorder import EventRecorder
from machinery.contain import contain
from machinery.ip_families import families_of

LOG = logging.getLogger("kubelet")


class Kubelet:
    def __init__(self, config: KubeletConfig, client: Client, cache: Cache, clock: Clock) -> None:
        self._config, self._client, self._cache, self._clock = config, client, cache, clock
        self._workers: dict[str, PodWorker] = {}
        self._statics: dict[str, Object] = {}
        self._group: asyncio.TaskGroup | None = None
        self._context: PodContext | None = None
        self._server: KubeletServer | None = None
        self._reporter: node_status.Reporter | None = None
        self._woken = asyncio.Event()
        self._mirrors: Mirrors | None = None

    async def run(self) -> None:
        """Runs until cancelled; the containers run on."""
        config = self._config
        config.pods_dir.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            cri = await stack.enter_async_context(Cri(config.runtime_endpoint))
            runtime = await self._runtime(cri)
            machine = await asyncio.to_thread(node_status.facts, config.root_dir)
            server = KubeletServer(config, self.pods, self._log_path, Streaming(cri, self.pods), cri.container_stats)
            await server.start()
            self._server = server
            stack.push_async_callback(server.stop)
            recorder = EventRecorder(self._client, "kubelet", config.node_name, self._clock)
            events = EventQueue(recorder)
            named = {"name": config.node_name, "uid": config.node_name}
            itself = {"apiVersion": "v1", "kind": "Node", "metadata": named}
            tell = partial(events.tell, itself)
            pulled = await asyncio.to_thread(PulledImages, config.root_dir / "images")
            collector = ImageCollector(config.image_gc, cri, self._clock, partial(tell, "Warning"), pulled.keep)
            evictor = Evictor(config, cri, self._clock, self.workers, collector.remove_unused, tell)
            async with asyncio.TaskGroup() as group:
                context = PodContext(
                    config=config,
                    client=self._client,
                    cache=self._cache,
                    clock=self._clock,
                    cri=cri,
                    events=events,
                    images=ImagePuller(cri, self._cache, self._clock, pulled),
                    tokens=Tokens(self._client, self._clock),
                    group=group,
                    runtime=runtime,
                    memory_capacity=machine.memory,
                    allocatable=node_status.node_status(config, machine, "", {}, self._clock.now())["allocatable"],
                    labels=node_status.node_labels(config, machine),
                    host_dns=await asyncio.to_thread(host_resolver),
                    pressure=lambda: evictor.pressure,
                    has_apparmor=machine.has_apparmor,
                    neighbours=lambda: [each.pod for each in self.workers() if each.takes_room],
                    preempt=self._preempt,
                    policy=self._enforcer(),
                )
                group.create_task(evictor.run())
                group.create_task(collector.run())
                look = partial(node_health.look, cri, lambda: evictor.pressure.conditions)
                version = f"{runtime.name}://{runtime.version}"
                self._reporter = node_status.Reporter(
                    config, self._client, self._cache, self._clock, machine, version, tell
                )
                group.create_task(node_status.run(self._reporter, self._clock, self._woken, look))
                await self._serve(context, group, stack)

    async def _serve(self, context: PodContext, group: asyncio.TaskGroup, stack: AsyncExitStack) -> None:
        self._group, self._context = group, context
        known = await context.cri.pod_uids()
        self._mirrors = Mirrors(context, lambda: list(self._statics.values()))
        stack.callback(self._cache.subscribe(PODS, self._observe_pod))
        stack.callback(self._cache.subscribe(CONFIG_MAPS, self._observe_source))
        stack.callback(self._cache.subscribe(SECRETS, self._observe_source))
        stack.callback(self._cache.subscribe(PERSISTENT_VOLUME_CLAIMS, self._observe_source))
        if self._config.manifests_dir is not None:
            manifests = Manifests(self._config.manifests_dir, self._config.node_name, self._clock, self._have_statics)
            # Before the orphans are looked for, which are what nobody asks for.
            await manifests.read()
            group.create_task(manifests.follow())
        for uid in known.keys() - self._workers.keys():
            group.create_task(self._clean_up(context, uid))
        await asyncio.to_thread(self._forget_directories, set(known))
        pleg = Pleg(context.cri, self._clock, self._changed)
        rotator = LogRotator(self._config, context.cri, self._clock, self.pods)
        bodies = (context.events.run(), pleg.follow(), pleg.relist(), rotator.run(), self._mirrors.run())
        for body in bodies:
            group.create_task(body)
        if self._config.proxy is not None:
            proxy = Proxy(self._config.proxy, self._config.node_name, self._cache, self._clock)
            group.create_task(proxy.run())
            group.create_task(ShadowWatch(self._cache, self._clock, context.events.tell).run())
            checks = HealthChecks(self._cache, self._config.node_name, self._clock, context.events.tell)
            group.create_task(checks.run())
        if context.policy is not None:
            group.create_task(context.policy.run())
        LOG.info("node %s runs %d pods", self._config.node_name, len(self._workers))

    def _enforcer(self) -> Enforcer | None:
        config = self._config
        families = families_of(config.pod_cidrs)
        return Enforcer(config.policy_table, self._cache, self._clock, families) if config.policy_table else None

    async def _runtime(self, cri: Cri) -> RuntimeVersion:
        """The runtime's name, once it answers: it may come up after us."""
        while True:
            try:
                return await cri.version()
            except RuntimeFailure as failure:
                LOG.warning("the runtime at %s does not answer: %s", self._config.runtime_endpoint, failure)
                await self._clock.sleep(1)

    async def move(self) -> None:
        """Tells the node's address, and the pods' with it, as they are now, and tries what has failed again."""
        self._woken.set()
        if self._context is not None:
            self._context.images.retry_soon()
        for worker in self._workers.values():
            worker.wake()

    async def awake(self) -> None:
        """After a sleep: the Lease is renewed when this returns; tokens and back-offs that are due have their turn."""
        if self._reporter is not None and not self._reporter.is_missing():
            await self._reporter.renew()
        if self._context is not None:
            # They end by the wall clock, which may have been set back.
            self._context.crashes.forget("")
        await self.move()

    def reload_certificate(self) -> None:
        """Shows the certificate that its files hold now to whoever connects next."""
        if self._server is not None:
            self._server.reload_certificate()

    def workers(self) -> list[PodWorker]:
        return list(self._workers.values())

    def pods(self) -> list[Object]:
        """The node's pods as their workers have them."""
        return [worker.pod for worker in self._workers.values()]

    async def _preempt(self, pods: Sequence[Object]) -> None:
        """Tells these pods that a critical one drives them off, and waits for their ends, one after the other."""
        assert self._context is not None
        for pod in pods:
            worker = self._workers.get(podspec.uid(pod))
            if worker is not None:
                await worker.preempt()

    def _log_path(self, pod: Object, container: str, run: int) -> Path | None:
        """The log of one of the container's runs, 0 being the newest; None where there is none."""
        logs = (log_directory(pod, self._config) / container).glob("*.log")
        runs = sorted((path for path in logs if path.stem.isdigit()), key=lambda path: int(path.stem), reverse=True)
        return next(iter(runs[run:]), None)

    def _observe_pod(self, change: Change) -> None:
        pod = change.object
        if pod["spec"].get("nodeName") != self._config.node_name:
            return
        if podspec.is_mirror(pod):
            self._observe_mirror(change)
            return
        worker = self._workers.get(podspec.uid(pod))
        if change.after is None:
            if worker is not None:
                worker.vanish()
            return
        if worker is not None:
            worker.update(pod)
            return
        self._begin(pod)

    def _observe_mirror(self, change: Change) -> None:
        assert self._mirrors is not None
        self._mirrors.wake()
        worker = self._workers.get(podspec.mirrored_uid(change.object))
        # A new mirror knows no status yet.
        if worker is not None and (change.before is None or is_to_be_judged(change.object)):
            worker.wake()

    def _begin(self, pod: Object) -> None:
        assert self._group is not None and self._context is not None
        worker = self._workers[podspec.uid(pod)] = PodWorker(self._context, pod)
        self._group.create_task(self._work(worker))

    async def _work(self, worker: PodWorker) -> None:
        await worker.run()
        self._workers.pop(podspec.uid(worker.pod), None)
        if self._context is not None and self._context.policy is not None:
            self._context.policy.release(worker.pod)
        if podspec.is_static(worker.pod):
            self._follow_statics()

    def _have_statics(self, pods: Sequence[Object]) -> None:
        """The manifests ask for these pods and no other static ones."""
        self._statics = dict(by_uid(pods))
        self._follow_statics()

    def _follow_statics(self) -> None:
        """Ends those whose manifest is gone; a changed one begins when its predecessor of that name has ended."""
        running = {podspec.key(worker.pod) for worker in self._workers.values() if podspec.is_static(worker.pod)}
        for uid, worker in self._workers.items():
            if podspec.is_static(worker.pod) and uid not in self._statics:
                worker.vanish()
        for uid, pod in self._statics.items():
            if uid not in self._workers and podspec.key(pod) not in running:
                mirror = self._cache.get(PODS, podspec.namespace(pod), podspec.name(pod))
                is_same = mirror is not None and podspec.mirrored_uid(mirror) == uid
                self._begin({**pod, "status": mirror["status"]} if is_same and mirror is not None else pod)
        if self._mirrors is not None:
            self._mirrors.wake()

    def _observe_source(self, change: Change) -> None:
        """A ConfigMap, Secret or claim reaches the pods that mount it."""
        metadata = change.object["metadata"]
        for worker in self._workers.values():
            if podspec.namespace(worker.pod) == metadata["namespace"] and metadata["name"] in _sources(worker.pod):
                worker.refresh_volumes()

    def _changed(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    async def _clean_up(self, context: PodContext, uid: str) -> None:
        """Ends a pod that the API forgot while we were away."""
        with contain("orphan", about=uid):
            state = await context.cri.pod(uid)
            await stop_containers(context, None, state, 1, set())
            await stop_sandboxes(context, state)
            logs = self._config.pod_logs_dir / f"{state.namespace}_{state.name}_{uid}"
            await remove_traces(context, await context.cri.pod(uid), self._config.pods_dir / uid, logs)

    def _forget_directories(self, known: set[str]) -> None:
        """Directories of pods that neither API nor runtime know."""
        from kubelet.volumes import take_down

        for directory in self._config.pods_dir.iterdir():
            if directory.name not in known and directory.name not in self._workers:
                take_down(directory)


def _sources(pod: Object) -> set[str]:
    """Names of the ConfigMaps, Secrets and claims that the pod's volumes and environment are made from."""
    found = set(claim_names(Pod(pod)))
    for volume in pod["spec"].get("volumes") or ():
        found.add((volume.get("configMap") or {}).get("name", ""))
        found.add((volume.get("secret") or {}).get("secretName", ""))
        for source in (volume.get("projected") or {}).get("sources") or ():
            found |= {(source.get(kind) or {}).get("name", "") for kind in ("configMap", "secret")}
    for spec in podspec.all_containers(pod):
        for entry in spec.get("env") or ():
            value = entry.get("valueFrom") or {}
            found |= {(value.get(kind) or {}).get("name", "") for kind in ("configMapKeyRef", "secretKeyRef")}
        for entry in spec.get("envFrom") or ():
            found |= {(entry.get(kind) or {}).get("name", "") for kind in ("configMapRef", "secretRef")}
    return found - {""}
