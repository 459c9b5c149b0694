"""kill -9 at every side effect of a pull, an import and a removal, and a full disk at each: all is whole, or not there.

`testdata/image-fault-points.txt` lists the side effects, step by step; a new one must be added there (`python -m
tests.contract.test_image_fault_points` prints the list), and with that is tested.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from runtime.images.layout import Layout, write_layout
from runtime.images.media import OCI_MANIFEST
from runtime.images.service import ImageService
from runtime.snapshots.snapshot import chain_ids
from tests.contract.image_steps import NAME, STEPS, open_images
from tests.fault_points import pairs

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="root filesystems need root"),
    pytest.mark.asyncio(loop_scope="module"),
]
LIST = Path(__file__).parent / "testdata/image-fault-points.txt"


@dataclass
class Steps:
    """A process that does steps, and what they need: an archive, and a registry that has the same image."""

    process: asyncio.subprocess.Process
    archive: Path
    files: Path
    reference: str

    async def take(self, root: Path, step: str, command: str, point: str = "") -> dict[str, Any]:
        """What became of the step in the store at `root`; see `image_steps`."""
        assert self.process.stdin and self.process.stdout
        asked = {"root": str(root), "step": step, "command": command, "point": point}
        asked |= {"archive": str(self.archive), "reference": self.reference}
        self.process.stdin.write(json.dumps(asked).encode() + b"\n")
        found: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return found


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Steps]:
    files = folder / "files"
    files.mkdir()
    (files / "big").write_bytes(os.urandom(3 << 20))
    layout = write_layout(folder / "layout", files, {})
    index = json.loads((layout.directory / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": NAME}
    (layout.directory / "index.json").write_text(json.dumps(index))
    with tarfile.open(folder / "a.tar", "w") as tar:
        tar.add(layout.directory, ".")
    async with registry(layout) as address:
        program = Path(__file__).with_name("image_steps.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable, program, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        yield Steps(process, folder / "a.tar", files, f"{address}/library/a:1")
        assert process.stdin
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def registry(layout: Layout) -> AsyncIterator[str]:
    async def serve(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        digest = layout.manifest()[0] if name == "1" else name
        headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest}
        return web.FileResponse(layout.blob(digest), headers=headers)

    app = web.Application()
    app.router.add_get("/v2/library/a/{kind}/{name}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


async def passed(steps: Steps, folder: Path) -> str:
    lines: list[str] = []
    for step in STEPS:
        names = (await steps.take(folder / step, step, "names"))["names"]
        lines += [step, *(f"  {point}" for point in names)]
    return "\n".join(lines) + "\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def steps(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Steps]:
    async with running(tmp_path_factory.mktemp("steps")) as found:
        yield found


async def test_every_side_effect_is_listed(steps: Steps, tmp_path: Path) -> None:
    assert await passed(steps, tmp_path) == LIST.read_text()


@pytest.mark.parametrize(("step", "point"), pairs(LIST))
async def test_a_kill_there_leaves_all_or_nothing(steps: Steps, tmp_path: Path, step: str, point: str) -> None:
    assert await steps.take(tmp_path, step, "kill", point) == {"ended": -signal.SIGKILL}
    images = open_images(tmp_path)
    await images.recover(())
    # What the record of images does not say has not happened.
    there = step == "remove" and point.startswith("write_atomically: ") and "images.json" in point
    assert [image.repo_tags for image in images.list()] == ([(steps.reference,)] if there else [])
    assert held(images, tmp_path) == needed(images)
    await the_image_can_be_had(steps, images, tmp_path, step)


@pytest.mark.parametrize(("step", "point"), pairs(LIST))
async def test_an_error_there_is_told_and_harms_nothing(steps: Steps, tmp_path: Path, step: str, point: str) -> None:
    done = await steps.take(tmp_path, step, "fail", point)
    assert point in done["names"]
    if done["error"]:
        assert "no space left on device" in done["error"].lower()
    images = open_images(tmp_path)
    left = {"pull": [(steps.reference,)], "import": [(NAME,)], "remove": []}
    assert [image.repo_tags for image in images.list()] == left[step]
    await images.recover(())
    assert held(images, tmp_path) == needed(images)
    await the_image_can_be_had(steps, images, tmp_path, step)


def held(images: ImageService, root: Path) -> dict[str, set[str]]:
    """What lies on the disk, without what a download may continue."""
    blobs = root / "content/blobs/sha256"
    folders = {path.name for path in (root / "snapshots").iterdir() if path.is_dir()}
    return {
        "blobs": {f"sha256:{path.name}" for path in blobs.iterdir()},
        "labels": {path.name for path in (root / "content/labels").iterdir() if not (blobs / path.name).exists()},
        "snapshots": {snapshot.name for snapshot in images.snapshotter.walk()},
        "half": {name for name in folders if name.startswith(("new-", "old-"))},
    }


def needed(images: ImageService) -> dict[str, set[str]]:
    """What the images that are listed need."""
    found = images.list()
    return {
        "blobs": {digest for image in found for digest in (image.manifest, image.id, *image.layers)},
        "labels": set(),
        "snapshots": {name for image in found for name in chain_ids(image.diff_ids)},
        "half": set(),
    }


async def the_image_can_be_had(steps: Steps, images: ImageService, root: Path, step: str) -> None:
    if step == "import":
        (image,) = await images.import_archive(steps.archive)
    else:
        image = await images.pull(steps.reference)
    rootfs = await images.prepare_rootfs("c", image.id)
    try:
        assert (rootfs / "big").read_bytes() == (steps.files / "big").read_bytes()
    finally:
        await images.remove_rootfs("c")
    await images.remove(image.id)
    assert held(images, root) == {"blobs": set(), "labels": set(), "snapshots": set(), "half": set()}


async def print_list() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder)) as steps:
            sys.stdout.write(await passed(steps, Path(folder)))


if __name__ == "__main__":
    asyncio.run(print_list())
