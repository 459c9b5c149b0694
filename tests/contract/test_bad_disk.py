"""A disk without room for an image: the pull says so, leaves nothing behind, harms no other image, and works later."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from machinery.linux.mount import mount_points
from runtime.errors import RuntimeFault
from runtime.images.content import ContentStore
from runtime.images.layout import write_layout
from runtime.images.media import Descriptor
from runtime.images.push import push
from runtime.images.service import ImageService
from runtime.snapshots.overlay import OverlaySnapshotter
from tests.contract.test_registry_pull import image, registry

MEBI = 1 << 20


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[Path]:
    """A tmpfs of that size, which `grow` makes larger."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        for point in sorted(mount_points(path), reverse=True):
            if point != str(path):
                subprocess.run(["umount", point], check=True)
        subprocess.run(["umount", str(path)], check=True)


def grow(path: Path, mebibytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={mebibytes}m", str(path)], check=True)


def used(path: Path) -> int:
    return shutil.disk_usage(path).used


# What does not fit: the blob itself, or what is unpacked of one that does.
LARGE: dict[str, Callable[[], bytes]] = {
    "download": lambda: os.urandom(12 * MEBI),
    "unpack": lambda: bytes(24 * MEBI),
}


@pytest.mark.parametrize("at", LARGE)
async def test_a_pull_without_room_says_so_and_leaves_nothing(tmp_path: Path, at: str) -> None:
    files = tmp_path / "large"
    files.mkdir()
    (files / "large").write_bytes(LARGE[at]())
    layout = write_layout(tmp_path / "large-layout", files, {"Cmd": ["large"]}).directory
    with registry(tmp_path / "registry") as address, small_disk(tmp_path / "disk", 8) as disk:
        await push(image(tmp_path), f"{address}/small:1")
        await push(layout, f"{address}/large:1")
        images = ImageService(disk / "images", OverlaySnapshotter(disk / "snapshots"), {})
        kept = await images.pull(f"{address}/small:1")
        before = used(disk)
        for _ in range(2):
            with pytest.raises(RuntimeFault) as refused:
                await images.pull(f"{address}/large:1")
            assert "no space left on device" in refused.value.message.lower(), refused.value.message
            assert images.list() == [kept]
            await images.collect_garbage()
            assert used(disk) - before < MEBI
        root = await images.prepare_rootfs("c", kept.id)
        assert (root / "etc/motd").read_text() == "hello"
        await images.remove_rootfs("c")
        grow(disk, 64)
        pulled = await images.pull(f"{address}/large:1")
        root = await images.prepare_rootfs("c", pulled.id)
        assert (root / "large").stat().st_size == len(LARGE[at]())
        await images.remove_rootfs("c")


@pytest.mark.parametrize("piece", [1000, 5000, 70_000])
def test_what_a_full_disk_took_of_a_download_is_given_back(tmp_path: Path, piece: int) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        content = ContentStore(disk / "content")
        before = used(disk)
        with closing(content.ingest(Descriptor("application/octet-stream", f"sha256:{'0' * 64}", 2 * MEBI))) as ingest:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    ingest.write(bytes(piece))
            ingest.restart()
            assert used(disk) == before


async def test_a_start_on_a_full_disk_finds_all_that_was_there(tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as address, small_disk(tmp_path / "disk", 8) as disk:
        await push(image(tmp_path), f"{address}/small:1")
        images = ImageService(disk / "images", OverlaySnapshotter(disk / "snapshots"), {})
        kept = await images.pull(f"{address}/small:1")
        with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
            while True:
                filler.write(bytes(4096))
        again = ImageService(disk / "images", OverlaySnapshotter(disk / "snapshots"), {})
        await again.recover(set())
        assert again.list() == [kept]
        (disk / "filler").unlink()
        await again.prepare_rootfs("c", kept.id)
        await again.remove_rootfs("c")
