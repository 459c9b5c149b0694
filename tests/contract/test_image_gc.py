"""The kubelet's collection of images on the real runtime: what goes, goes with its layers; what is wanted stays."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kubelet.cri import Cri
from kubelet.image_collector import ImageCollector
from kubelet.image_gc import Disk, ImageGcPolicy
from kubelet.pulled_images import PulledImages
from runtime.images.push import push
from tests.contract.cri_node import Node, make
from tests.contract.test_registry_pull import image, registry

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")
BUSYBOX = "docker.io/library/busybox:latest"
FULL, EMPTY = Disk(100 << 30, 1 << 30), Disk(100 << 30, 99 << 30)


class Hands:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def awake_since(self) -> datetime:
        return self.time

    def wake_on_jump(self, event: asyncio.Event) -> None:
        """Nobody waits for it."""


async def tags(node: Node) -> set[str]:
    answer = await node.images.ListImages(make("ListImagesRequest"))
    return {tag for found in answer.images for tag in found.repo_tags}


def layers(node: Node) -> tuple[int, int]:
    """How many blobs and how many snapshots there are."""
    root = node.config.root
    blobs = len(list((root / "content/blobs/sha256").iterdir()))
    return blobs, len([path for path in (root / "snapshots").glob("*/*") if path.name.isdecimal()])


async def test_a_full_disk_is_freed_of_what_nobody_uses(node: Node, tmp_path: Path) -> None:
    clock, told = Hands(), list[tuple[str, str]]()
    disk = [FULL]
    async with Cri(f"unix:{node.config.socket}") as cri:
        pulled = PulledImages(tmp_path / "pulled")
        collector = ImageCollector(
            ImageGcPolicy(), cri, clock, lambda *warning: told.append(warning), pulled.keep, lambda folder: disk[0]
        )
        await collector.collect()
        assert await tags(node) == {BUSYBOX}
        before = layers(node)
        with registry(tmp_path / "registry") as address:
            for name in ("used", "unused"):
                (tmp_path / name).mkdir()
                await push(image(tmp_path / name, name), f"{address}/{name}:1")
                pull = make("PullImageRequest", image=make("ImageSpec", image=f"{address}/{name}:1"))
                await node.images.PullImage(pull)
        sandbox = await node.sandbox("gc")
        await node.create(sandbox, "", image=make("ImageSpec", image=f"{address}/used:1"))
        told.clear()
        await collector.collect()
        assert await tags(node) == {BUSYBOX, f"{address}/used:1", f"{address}/unused:1"}
        (reason, message), told[:] = told[0], []
        assert reason == "FreeDiskSpaceFailed" and message.endswith("but only found 0 bytes eligible to free.")
        await clock.sleep(121)
        disk[0] = EMPTY
        assert (await collector.collect()).remove == ()
        disk[0] = FULL
        await collector.collect()
        assert await tags(node) == {BUSYBOX, f"{address}/used:1"}
        await node.remove_sandbox(sandbox)
        disk[0] = EMPTY
        await clock.sleep(60)
        await collector.remove_unused()
        assert await tags(node) == {BUSYBOX}
        assert layers(node) == before
