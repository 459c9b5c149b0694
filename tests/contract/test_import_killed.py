"""An import that is killed at any moment leaves no image half there, and the next one succeeds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from runtime.images.layout import write_layout
from runtime.images.service import ImageService
from runtime.snapshots.overlay import OverlaySnapshotter

IMPORT = """
import asyncio, sys
from pathlib import Path
from runtime.images import layers, pull
from runtime.images.service import ImageService
from runtime.snapshots.overlay import OverlaySnapshotter
root = Path(sys.argv[1])
images = ImageService(root / "images", OverlaySnapshotter(root / "snapshots"), {})
put, unpack = images.content.put, layers.unpack_layer
def told_put(*arguments):
    digest = put(*arguments)
    print("sent", flush=True)
    return digest
async def told_unpack(*arguments):
    usage = await unpack(*arguments)
    print("unpacked", flush=True)
    return usage
images.content.put, pull.unpack_layer = told_put, told_unpack
asyncio.run(images.import_archive(root / "a.tar"))
print("done", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("moment", ["sent", "unpacked", "done"])
async def test_a_killed_import_harms_nothing(tmp_path: Path, moment: str) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/big").write_bytes(os.urandom(6 << 20))
    layout = write_layout(tmp_path / "layout", tmp_path / "files", {})
    index = json.loads((layout.directory / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": "docker.io/library/a:1"}
    (layout.directory / "index.json").write_text(json.dumps(index))
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(layout.directory, ".")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", IMPORT, str(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout
    while (await child.stdout.readline()).strip().decode() != moment:
        assert child.returncode is None
    child.send_signal(signal.SIGKILL)
    await child.communicate()

    images = ImageService(tmp_path / "images", OverlaySnapshotter(tmp_path / "snapshots"), {})
    await images.recover(set())
    blobs = list((tmp_path / "images/content/blobs/sha256").iterdir())
    if moment == "done":
        assert [image.repo_tags for image in images.list()] == [("docker.io/library/a:1",)]
    else:
        assert (images.list(), blobs) == ([], [])
    (image,) = await images.import_archive(tmp_path / "a.tar")
    root = await images.prepare_rootfs("c", image.id)
    try:
        assert (root / "big").read_bytes() == (tmp_path / "files/big").read_bytes()
    finally:
        await images.remove_rootfs("c")
