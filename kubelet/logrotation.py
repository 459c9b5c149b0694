"""Keeps containers' logs small: renames one that has grown, has the runtime begin a new one, compresses older ones.

As upstream does: `0.log` is what is written now, `0.log.20260102-030405` was before it, older ones end in `.gz`.
`kubectl logs` shows the newest file alone, there as here.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from kubelet import podspec
from kubelet.config import KubeletConfig
from kubelet.cri import Cri, RuntimeFailure
from kubelet.sandboxconfig import log_directory
from machinery.api.resource import Object
from machinery.client.clock import Clock
from machinery.contain import contain
from machinery.structs import Struct

LOG = logging.getLogger("kubelet")
_PERIOD = 10.0
_COMPRESSED, _UNFINISHED = ".gz", ".tmp"


class Tidying(Struct, frozen=True):
    """What becomes of a log's older files before it is rotated once more, by name."""

    remove: tuple[str, ...] = ()
    compress: tuple[str, ...] = ()


def tidying(names: Iterable[str], most: int) -> Tidying:
    """`names` are the older files of one log; `most` counts all its files, those to come included. Pure."""
    there = set(names)
    useless = {name for name in there if name.endswith(_UNFINISHED) or f"{name}{_COMPRESSED}" in there}
    kept = sorted(there - useless)
    # The one written now becomes an older one, and there will be a new one.
    spare = kept[: max(len(kept) - max(most - 2, 0), 0)]
    left = kept[len(spare) :]
    return Tidying(tuple(sorted(useless | set(spare))), tuple(n for n in left if not n.endswith(_COMPRESSED)))


class LogRotator:
    def __init__(self, config: KubeletConfig, cri: Cri, clock: Clock, pods: Callable[[], Sequence[Object]]) -> None:
        self._config, self._cri, self._clock, self._pods = config, cri, clock, pods

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._clock.sleep(_PERIOD)
            with contain("log rotation"):
                for pod in await self.grown():
                    with contain("log rotation", about=podspec.key(pod)):
                        await self.look(pod)

    async def grown(self) -> list[Object]:
        """The pods of which a log has grown too large."""
        logs = [(pod, log_directory(pod, self._config)) for pod in self._pods()]
        return await asyncio.to_thread(_larger, logs, self._config.container_log_max_size)

    async def look(self, pod: Object) -> None:
        """Rotates the logs of the pod's running containers that have grown too large."""
        state = await self._cri.pod(podspec.uid(pod))
        for container in state.running:
            path = Path(container.log_path)
            if await asyncio.to_thread(_size, path) >= self._config.container_log_max_size:
                await self._rotate(container.id, path)

    async def _rotate(self, container_id: str, path: Path) -> None:
        await asyncio.to_thread(tidy, path, self._config.container_log_max_files)
        older = path.with_name(f"{path.name}.{self._clock.now().astimezone():%Y%m%d-%H%M%S}")
        await asyncio.to_thread(os.rename, path, older)
        try:
            await self._cri.reopen_log(container_id)
        except RuntimeFailure as failure:
            # Nothing is lost as long as the runtime goes on in the file that it has open.
            LOG.warning("the log %s can't be rotated: %s", path, failure)
            await asyncio.to_thread(os.rename, older, path)


def tidy(path: Path, most: int) -> None:
    """Carries out what `tidying` plans for the log at `path`. Blocks."""
    plan = tidying((each.name for each in path.parent.glob(f"{path.name}.*")), most)
    for name in plan.remove:
        (path.parent / name).unlink(missing_ok=True)
    for name in plan.compress:
        _compress(path.parent / name)


def _compress(path: Path) -> None:
    unfinished = path.with_name(f"{path.name}{_UNFINISHED}")
    with path.open("rb") as source, gzip.open(unfinished, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 16)
    unfinished.chmod(path.stat().st_mode)
    unfinished.rename(path.with_name(f"{path.name}{_COMPRESSED}"))
    path.unlink()


def remove_logs(path: Path) -> None:
    """Removes the log at `path` with its older files. Blocks."""
    for each in (path, *path.parent.glob(f"{path.name}.*")):
        each.unlink(missing_ok=True)


def _larger(logs: Sequence[tuple[Object, Path]], limit: int) -> list[Object]:
    """Those pods in whose folder a log of any container is as large as the limit; one pass over all, as it is often."""
    return [pod for pod, folder in logs if any(size >= limit for size in _sizes(str(folder)))]


def _sizes(folder: str) -> Iterator[int]:
    try:
        with os.scandir(folder) as containers:
            for container in containers:
                with os.scandir(container.path) as files:
                    yield from (file.stat().st_size for file in files if file.name.endswith(".log"))
    except OSError:
        # Removed meanwhile, or not made yet.
        return


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
