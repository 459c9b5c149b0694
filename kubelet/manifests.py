"""The folder of static pods' manifests: read at the start and whenever something in it changes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from kubelet.staticpods import ManifestError, static_pod
from machinery.api.resource import Object
from machinery.client.clock import Clock
from machinery.contain import contain

LOG = logging.getLogger("kubelet")
_SETTLED = 0.05


class Manifests:
    """`changed` is called with all static pods, once at the start and after every change of the folder."""

    def __init__(self, folder: Path, node_name: str, clock: Clock, changed: Callable[[Sequence[Object]], None]) -> None:
        self._folder, self._node_name, self._clock, self._changed = folder, node_name, clock, changed
        self._complained: dict[str, str] = {}

    async def read(self) -> None:
        """Tells what is there now; the folder is made where it lacks."""
        self._changed(await asyncio.to_thread(self.pods))

    async def follow(self) -> None:
        """Tells every change; runs until cancelled."""
        from inotify_simple import INotify, flags

        watch, news = INotify(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def has_changed() -> None:
            watch.read(timeout=0)
            news.set()

        events = flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE
        loop.add_reader(watch.fileno(), has_changed)
        try:
            while True:
                with contain("manifests", about=str(self._folder)):
                    # Again each time: somebody may have put another folder in its place.
                    await asyncio.to_thread(self._make)
                    watch.add_watch(self._folder, events)
                    await self.read()
                await news.wait()
                # An editor writes, renames and deletes at once: the last of it counts.
                await self._clock.sleep(_SETTLED)
                news.clear()
        finally:
            loop.remove_reader(watch.fileno())
            watch.close()

    def _make(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def pods(self) -> list[Object]:
        """The pods of all manifests; one that can't be read is told once and left out. Blocks."""
        self._make()
        found: dict[str, Object] = {}
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                pod = static_pod(_document(path), str(path), self._node_name, self._clock.now())
            except (ManifestError, OSError) as error:
                self._complain(path.name, str(error))
                continue
            self._complained.pop(path.name, None)
            found.setdefault(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}", pod)
        return list(found.values())

    def _complain(self, name: str, why: str) -> None:
        if self._complained.get(name) != why:
            self._complained[name] = why
            LOG.warning("the manifest %s is left out: %s", self._folder / name, why)


def _document(path: Path) -> object:
    text = path.read_text()
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise ManifestError(str(error)) from error
    import yaml

    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ManifestError(str(error).replace("\n", " ")) from error
