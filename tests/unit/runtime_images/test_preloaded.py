"""Archives in the folder are imported once, those that are none are passed over."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from runtime.images.preloaded import import_archives
from runtime.images.service import ImageService
from runtime.snapshots.native import NativeSnapshotter

from .test_archive import named_layout, pack


@pytest.fixture
def images(tmp_path: Path) -> ImageService:
    return ImageService(tmp_path / "images", NativeSnapshotter(tmp_path / "snapshots"), {})


async def test_a_folder_of_archives_is_imported(tmp_path: Path, images: ImageService) -> None:
    folder, memory = tmp_path / "archives", tmp_path / "imported.json"
    now = asyncio.Event()
    now.set()
    await import_archives(folder, memory, images, now)
    folder.mkdir()
    (folder / "broken.tar.gz").write_bytes(b"\x1f\x8bnothing")
    (folder / "notes.txt").touch()
    archive = pack(named_layout(tmp_path, "app:1"), folder / "one.tar")
    await import_archives(folder, memory, images, now)
    (image,) = images.list()
    assert image.repo_tags == ("docker.io/library/app:1",) and image.pinned

    told: list[tuple[str, str]] = []
    images.subscribe(lambda what, name: told.append((what, name)))
    await import_archives(folder, memory, images, now)
    assert told == []
    os.utime(archive)
    await import_archives(folder, memory, images, now)
    assert ("update", "docker.io/library/app:1") in told
    await images.remove("app:1")
    await import_archives(folder, memory, images, now)
    assert images.get("app:1")
