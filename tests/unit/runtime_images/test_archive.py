"""Archives of both sorts give the images they hold, unpacked and named."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from runtime.errors import InvalidArgument
from runtime.images.layout import Layout, write_layout
from runtime.images.media import parse_manifest
from runtime.images.service import ImageService
from runtime.snapshots.native import NativeSnapshotter


def layout(directory: Path) -> Layout:
    (directory / "files").mkdir()
    (directory / "files/motd").write_text("hello")
    return write_layout(directory / "layout", directory / "files", {"Cmd": ["hello"]})


def pack(directory: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w") as tar:
        tar.add(directory, arcname=".")
    return archive


async def unpacked(tmp_path: Path, archive: Path, name: str) -> str:
    images = ImageService(tmp_path / "images", NativeSnapshotter(tmp_path / "snapshots"), {})
    (image,) = await images.import_archive(archive)
    assert images.get(name) == image
    root = await images.prepare_rootfs("c", image.id)
    try:
        return (root / "motd").read_text()
    finally:
        await images.remove_rootfs("c")


async def test_an_oci_layout_is_imported(tmp_path: Path) -> None:
    made = layout(tmp_path)
    index = json.loads((made.directory / "index.json").read_bytes())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": "docker.io/library/hello:1"}
    (made.directory / "index.json").write_text(json.dumps(index))
    assert await unpacked(tmp_path, pack(made.directory, tmp_path / "a.tar"), "hello:1") == "hello"


async def test_what_docker_saves_is_imported(tmp_path: Path) -> None:
    made = layout(tmp_path)
    manifest = parse_manifest(made.blob(made.manifest()[0]).read_bytes())
    saved = tmp_path / "saved"
    saved.mkdir()
    made.blob(manifest.config.digest).rename(saved / "config.json")
    made.blob(manifest.layers[0].digest).rename(saved / "layer.tar")
    entry = {"Config": "config.json", "Layers": ["layer.tar"], "RepoTags": ["hello:2"]}
    (saved / "manifest.json").write_text(json.dumps([entry]))
    assert await unpacked(tmp_path, pack(saved, tmp_path / "a.tar"), "hello:2") == "hello"


async def test_another_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with pytest.raises(InvalidArgument, match="unrecognized image format"):
        await unpacked(tmp_path, pack(tmp_path / "files", tmp_path / "a.tar"), "x")
