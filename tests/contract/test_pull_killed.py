"""A pull that is killed at any moment leaves a store that opens, and the next pull succeeds."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from runtime.images.layout import Layout, write_layout
from runtime.images.media import OCI_MANIFEST
from runtime.images.service import ImageService
from runtime.snapshots.overlay import OverlaySnapshotter

PULL = """
import asyncio, sys
from pathlib import Path
from runtime.images.service import ImageService
from runtime.snapshots.overlay import OverlaySnapshotter
root = Path(sys.argv[1])
images = ImageService(root / "images", OverlaySnapshotter(root / "snapshots"), {})
print("ready", flush=True)
asyncio.run(images.pull(sys.argv[2], on_progress=lambda *told: print("some", flush=True)))
print("done", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("moment", ["ready", "some", "done"])
async def test_a_killed_pull_harms_nothing(tmp_path: Path, moment: str) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/big").write_bytes(os.urandom(6 << 20))
    layout = write_layout(tmp_path / "layout", tmp_path / "files", {})

    async def serve(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        digest = layout.manifest()[0] if name == "1" else name
        headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest}
        return web.FileResponse(Layout(tmp_path / "layout").blob(digest), headers=headers)

    app = web.Application()
    app.router.add_get("/v2/a/{kind}/{name}", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    name = "{}:{}/a:1".format(*runner.addresses[0][:2])
    try:
        await _pull_until(moment, tmp_path, name)
        images = ImageService(tmp_path / "images", OverlaySnapshotter(tmp_path / "snapshots"), {})
        await images.recover(set())
        assert len(images.list()) == (1 if moment == "done" else 0)
        image = await images.pull(name)
        root = await images.prepare_rootfs("c", image.id)
        try:
            assert (root / "big").read_bytes() == (tmp_path / "files/big").read_bytes()
        finally:
            await images.remove_rootfs("c")
    finally:
        await runner.cleanup()


async def _pull_until(moment: str, root: Path, name: str) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PULL, str(root), name, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout
    while (await child.stdout.readline()).strip().decode() != moment:
        assert child.returncode is None
    child.send_signal(signal.SIGKILL)
    await child.communicate()
