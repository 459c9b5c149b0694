"""Archives of both sorts give the images they hold, unpacked and named."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import tarfile
import threading
from pathlib import Path

import pytest

from runtime.errors import InvalidArgument
from runtime.images.archive import read_archive
from runtime.images.content import ContentStore, Reader, digest_of
from runtime.images.layout import Layout, write_layout
from runtime.images.media import parse_manifest
from runtime.images.platform import host_platform
from runtime.images.service import ImageService
from runtime.snapshots.native import NativeSnapshotter


def layout(directory: Path, text: str = "hello") -> Layout:
    (directory / "files").mkdir()
    (directory / "files/motd").write_text(text)
    return write_layout(directory / "layout", directory / "files", {"Cmd": ["hello"]})


def named_layout(directory: Path, name: str, text: str = "hello") -> Path:
    made = layout(directory, text).directory
    index = json.loads((made / "index.json").read_bytes())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": name}
    (made / "index.json").write_text(json.dumps(index))
    return made


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


async def test_an_archive_may_be_packed_and_come_through_a_pipe(tmp_path: Path) -> None:
    archive = pack(named_layout(tmp_path, "hello:1"), tmp_path / "a.tar")
    content = ContentStore(tmp_path / "content")
    reading, writing = os.pipe()
    body = gzip.compress(archive.read_bytes())

    def send() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(body)

    sender = threading.Thread(target=send)
    sender.start()
    with os.fdopen(reading, "rb") as stream:
        (found,) = read_archive(stream, content, host_platform())
    sender.join()
    assert found.names == ("docker.io/library/hello:1",)
    assert content.has(found.target.digest) and content.has(found.id)


async def test_a_layer_that_is_a_link_to_another_images_is_found(tmp_path: Path) -> None:
    made = layout(tmp_path)
    manifest = parse_manifest(made.blob(made.manifest()[0]).read_bytes())
    saved = tmp_path / "saved"
    (saved / "one").mkdir(parents=True)
    (saved / "two").mkdir()
    made.blob(manifest.config.digest).rename(saved / "config.json")
    made.blob(manifest.layers[0].digest).rename(saved / "one/layer.tar")
    (saved / "two/layer.tar").symlink_to("../one/layer.tar")
    entry = {"Config": "config.json", "Layers": ["two/layer.tar"], "RepoTags": ["hello:2"]}
    (saved / "manifest.json").write_text(json.dumps([entry]))
    assert await unpacked(tmp_path, pack(saved, tmp_path / "a.tar"), "hello:2") == "hello"


async def test_an_image_without_a_name_is_found_by_its_id(tmp_path: Path) -> None:
    images = ImageService(tmp_path / "images", NativeSnapshotter(tmp_path / "snapshots"), {})
    (image,) = await images.import_archive(pack(layout(tmp_path).directory, tmp_path / "a.tar"))
    assert images.get(image.id) == image
    assert (image.names, image.pinned) == ((), True)


async def test_what_is_loaded_again_takes_the_name_from_the_older_build(tmp_path: Path) -> None:
    images = ImageService(tmp_path / "images", NativeSnapshotter(tmp_path / "snapshots"), {})
    loaded = []
    for text in ("one", "two"):
        directory = tmp_path / text
        directory.mkdir()
        (archive := directory / "a.tar").touch()
        loaded += await images.import_archive(pack(named_layout(directory, "app:dev", text), archive))
    first, second = (images.get(image.id) for image in loaded)
    assert first and second
    assert (first.repo_tags, first.pinned) == ((), False)
    assert (second.repo_tags, second.pinned) == (("docker.io/library/app:dev",), True)


async def test_an_archive_with_a_wrong_blob_leaves_no_image(tmp_path: Path) -> None:
    made = named_layout(tmp_path, "hello:1")
    blob = next(path for path in (made / "blobs/sha256").iterdir() if path.stat().st_size < 600)
    blob.write_bytes(blob.read_bytes() + b" ")
    images = ImageService(tmp_path / "images", NativeSnapshotter(tmp_path / "snapshots"), {})
    with pytest.raises(InvalidArgument, match="is not what its name says"):
        await images.import_archive(pack(made, tmp_path / "a.tar"))
    assert images.list() == [] and list(images.content.digests()) == []


class Waiting:
    """A sink that takes a blob only when its test lets it."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Event(), threading.Event()

    def put(self, source: Reader, size: int, expected: str) -> str:
        self.asked.set()
        assert self.go.wait(20)
        return digest_of(source.read(size))

    def add(self, body: bytes) -> str:
        return digest_of(body)

    def read(self, digest: str) -> bytes:
        raise AssertionError(digest)


async def test_an_archive_that_is_closed_meanwhile_is_read_no_further(tmp_path: Path) -> None:
    made = layout(tmp_path)
    (made.directory / "padding").write_bytes(bytes(1 << 20))
    sink = Waiting()
    with open(pack(made.directory, tmp_path / "a.tar"), "rb") as stream:

        def read() -> None:
            with pytest.raises(InvalidArgument, match="read of closed file"):
                read_archive(stream, sink, host_platform())

        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(read))
            await asyncio.to_thread(sink.asked.wait, 20)
            stream.close()
            sink.go.set()


async def test_another_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with pytest.raises(InvalidArgument, match="unrecognized image format"):
        await unpacked(tmp_path, pack(tmp_path / "files", tmp_path / "a.tar"), "x")
