"""`image load` over what it may meet: the embedded runtime, and Debian's containerd. Both keep the same promises."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from machinery.structs import replace
from minikube_py.cli.image_client import NodeImage, RuntimeClient, connected
from minikube_py.cli.image_load import load
from minikube_py.config import Config, ConfigError
from minikube_py.instance import InstanceError
from runtime.images.layout import Layout, write_layout
from runtime.images.platform import Platform
from tests.contract.containerd_server import containerd
from tests.contract.cri_node import serving
from tests.contract.ctr_client import Ctr

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")
BUSYBOX = "docker.io/library/busybox:latest"


@pytest.fixture(params=["embedded", "containerd"])
async def config(request: pytest.FixtureRequest, tmp_path: Path, archive: Path) -> AsyncIterator[Config]:
    """A cluster's configuration with the runtime that is to be loaded into."""
    if request.param == "containerd":
        own = 'sandbox_image = "none"'
        with tempfile.TemporaryDirectory(prefix="mkpy-ctrd-") as folder, containerd(Path(folder), own) as endpoint:
            yield replace(Config(), container_runtime_endpoint=endpoint)
        return
    async with serving(tmp_path, archive) as node:
        endpoint = f"unix://{node.config.socket}"
        await Ctr(node.config.socket)("images", "rm", BUSYBOX)
        yield replace(Config(), container_runtime_endpoint=endpoint)


def docker_archive(archive: Path, directory: Path, *names: str) -> Path:
    """busybox as older dockers save it, packed."""
    layout = Layout(archive.parent / "layout")
    manifest = json.loads(layout.blob(layout.manifest()[0]).read_bytes())
    saved = directory / "saved"
    (saved / "one").mkdir(parents=True)
    layer = layout.blob(manifest["layers"][0]["digest"]).read_bytes()
    (saved / "one/layer.tar").write_bytes(gzip.decompress(layer))
    config = f"{manifest['config']['digest'].removeprefix('sha256:')}.json"
    (saved / config).write_bytes(layout.blob(manifest["config"]["digest"]).read_bytes())
    entry = {"Config": config, "RepoTags": list(names) or None, "Layers": ["one/layer.tar"]}
    (saved / "manifest.json").write_text(json.dumps([entry]))
    with tarfile.open(directory / "saved.tar.gz", "w:gz") as tar:
        tar.add(saved, ".")
    return directory / "saved.tar.gz"


def listed(runtime: RuntimeClient, *tags: str) -> NodeImage:
    """The image, as soon as the CRI shows it under these tags: containerd's hears of it by an event."""
    while True:
        for image in runtime.images():
            if set(image.tags) == set(tags):
                return image


async def in_thread(config: Config, work: Any) -> Any:
    """The commands block, and the runtime may be on our loop's other side."""

    def run() -> Any:
        with connected(config) as runtime:
            return work(runtime)

    async with asyncio.timeout(60):
        return await asyncio.to_thread(run)


async def test_what_docker_saved_is_loaded_under_all_its_names(config: Config, archive: Path, tmp_path: Path) -> None:
    names = ("docker.io/library/one:1", "localhost:5000/two:2")
    saved = docker_archive(archive, tmp_path, "one:1", names[1])

    def work(runtime: RuntimeClient) -> None:
        for _ in range(2):
            (loaded,) = load(runtime, str(saved), None)
            assert loaded["names"] == list(names)
            found = listed(runtime, *names)
            assert found.id == loaded["id"] == runtime.image_id("one:1") and found.digests == ()
        runtime.untag(names[1])
        listed(runtime, names[0])
        runtime.remove(found.id)
        assert runtime.image_id("one:1") == ""

    await in_thread(config, work)


async def test_an_image_without_a_name_gets_one(config: Config, archive: Path, tmp_path: Path) -> None:
    saved = docker_archive(archive, tmp_path)

    def work(runtime: RuntimeClient) -> None:
        (loaded,) = load(runtime, str(saved), None)
        assert loaded["names"] == [] and listed(runtime).id == loaded["id"]
        load(runtime, str(saved), "mine:3")
        assert listed(runtime, "docker.io/library/mine:3").id == loaded["id"]
        with pytest.raises(ConfigError, match="one image that has no name"):
            load(runtime, str(archive), "other")

    await in_thread(config, work)


async def test_what_can_not_be_loaded_is_told_in_a_line(config: Config, archive: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar.gz"
    packed = gzip.compress(archive.read_bytes())
    cut.write_bytes(packed[: len(packed) // 2])
    (tmp_path / "files").mkdir()
    far = write_layout(tmp_path / "far", tmp_path / "files", {}, platform=Platform("linux", "s390x"))
    other = tmp_path / "other.tar"
    for source, target in ((far.directory, tmp_path / "far.tar"), (tmp_path / "files", other)):
        with tarfile.open(target, "w") as tar:
            tar.add(source, ".")

    def work(runtime: RuntimeClient) -> None:
        for path, words in (
            (cut, "malformed image archive: "),
            (other, "unrecognized image format"),
            (tmp_path / "far.tar", "the image is for linux/s390x, this machine runs"),
        ):
            with pytest.raises(InstanceError, match=words):
                load(runtime, str(path), None)
        with pytest.raises(ConfigError, match="none.tar: No such file"):
            load(runtime, str(tmp_path / "none.tar"), None)
        assert runtime.images() == []

    await in_thread(config, work)
