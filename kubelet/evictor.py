"""Watches for pressure on the node, and gives pods up, one after the other, until it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from kubelet import podspec
from kubelet.config import KubeletConfig
from kubelet.cri import Cri, RuntimeFailure
from kubelet.cri_values import ContainerStats
from kubelet.eviction import (
    ContainerUsage,
    Observation,
    PodUsage,
    Pressure,
    Signal,
    Threshold,
    met,
    over_its_limit,
    ranked,
    verdict,
)
from kubelet.node_events import Tell
from kubelet.pressure_signals import folder_bytes, observations
from kubelet.resources import cgroup_parent
from kubelet.sandboxconfig import log_directory
from kubelet.statusinput import Trouble
from machinery.api.resource import Object
from machinery.client.clock import Clock
from machinery.contain import contain
from machinery.linux import cgroup

_PERIOD, _WHILE_SHORT, _SETTLED = 10.0, 1.0, 30.0


class Victim(Protocol):
    """A pod's worker, as far as it can be ended."""

    @property
    def pod(self) -> Object: ...
    def evict(self, why: Trouble) -> None: ...


class Evictor:
    """`pressure` is what the node's conditions and the admission of pods go by.

    A disk that runs short is first asked for what nobody uses, by `reclaim`; only then do pods go.
    """

    def __init__(
        self,
        config: KubeletConfig,
        cri: Cri,
        clock: Clock,
        victims: Callable[[], Sequence[Victim]],
        reclaim: Callable[[], Awaitable[None]],
        tell: Tell,
        look: Callable[[Path, Path | None], Mapping[Signal, Observation]] = observations,
    ) -> None:
        self._config, self._cri, self._clock, self._victims, self._look = config, cri, clock, victims, look
        self._reclaim, self._tell = reclaim, tell
        self.pressure = Pressure()

    async def run(self) -> None:
        """Runs until cancelled."""
        images: Path | None = None
        while True:
            evicted: Victim | None = None
            with contain("eviction"):
                images = images or await self._images_folder()
                evicted = await self.look(images)
            if evicted is not None:
                await self._until_ended(evicted)
            await self._clock.sleep(_WHILE_SHORT if evicted is not None else _PERIOD)

    async def look(self, images: Path | None) -> Victim | None:
        """The pod that was given up, if any had to be."""
        seen = await asyncio.to_thread(self._look, self._config.root_dir, images)
        short = met(seen)
        self.pressure = self.pressure.after(short, self._clock.now())
        for resource in dict.fromkeys(threshold.resource for threshold in short):
            self._tell("Warning", "EvictionThresholdMet", f"Attempting to reclaim {resource}")
        if any(threshold.condition == "DiskPressure" for threshold in short):
            await self._reclaim()
            seen = await asyncio.to_thread(self._look, self._config.root_dir, images)
            short = met(seen)
        living = [each for each in self._victims() if not podspec.is_terminal(each.pod)]
        limited = [each for each in living if has_disk_limit(each.pod)]
        if not short and not limited:
            return None
        # Statistics count every file that a container wrote, so they are asked for only where they decide.
        is_needed = bool(short) or any(has_storage_limit(each.pod) for each in limited)
        stats = await self._cri.container_stats() if is_needed else {}
        if short:
            return await self._give_up(short[0], seen[short[0].signal], living, stats)
        return await self._hold_to_limits(limited, stats)

    async def _give_up(
        self, threshold: Threshold, seen: Observation, living: list[Victim], stats: Mapping[str, list[ContainerStats]]
    ) -> Victim | None:
        usages = {podspec.uid(each.pod): (each, await self._usage(each.pod, stats)) for each in living}
        order = ranked(threshold, [usage for _, usage in usages.values()])
        if not order:
            return None
        chosen, usage = usages[podspec.uid(order[0].pod)]
        chosen.evict(verdict(threshold, seen, usage))
        return chosen

    async def _hold_to_limits(self, limited: list[Victim], stats: Mapping[str, list[ContainerStats]]) -> Victim | None:
        for each in limited:
            usage = await self._usage(each.pod, stats)
            volumes = await asyncio.to_thread(empty_dirs, self._config.pods_dir / podspec.uid(each.pod))
            why = over_its_limit(usage, volumes)
            if why is not None:
                each.evict(why)
                return each
        return None

    async def _usage(self, pod: Object, stats: Mapping[str, list[ContainerStats]]) -> PodUsage:
        logs = log_directory(pod, self._config)
        containers = []
        for each in stats.get(podspec.uid(pod), ()):
            written = await asyncio.to_thread(folder_bytes, logs / each.name)
            containers.append(ContainerUsage(each.name, each.working_set, each.written + written))
        volumes = await asyncio.to_thread(empty_dirs, self._config.pods_dir / podspec.uid(pod))
        pids = await asyncio.to_thread(cgroup.processes, cgroup_parent(self._config.cgroup_root, pod))
        return PodUsage(pod, tuple(containers), sum(volumes.values()), len(pids))

    async def _images_folder(self) -> Path | None:
        try:
            return await self._cri.image_folder()
        except RuntimeFailure:
            return None

    async def _until_ended(self, victim: Victim) -> None:
        """What a pod held is free when it has ended; one that takes longer is no reason to end the next."""
        began = self._clock.monotonic()
        while not podspec.is_terminal(victim.pod) and self._clock.monotonic() - began < _SETTLED:
            await self._clock.sleep(_WHILE_SHORT)


def empty_dirs(pod_dir: Path) -> dict[str, int]:
    """The size of each emptyDir of a pod, those in memory aside. Blocks."""
    folder = pod_dir / "volumes" / "kubernetes.io~empty-dir"
    if not folder.is_dir():
        return {}
    return {path.name: folder_bytes(path) for path in folder.iterdir() if not path.is_mount()}


def has_disk_limit(pod: Object) -> bool:
    """Whether the pod was granted so much of the disk and no more."""
    volumes = pod["spec"].get("volumes") or ()
    return has_storage_limit(pod) or any((volume.get("emptyDir") or {}).get("sizeLimit") for volume in volumes)


def has_storage_limit(pod: Object) -> bool:
    """Whether what its containers write is limited."""
    return any(
        "ephemeral-storage" in ((spec.get("resources") or {}).get("limits") or {}) for spec in podspec.containers(pod)
    )
