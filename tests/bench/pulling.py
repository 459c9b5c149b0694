"""One gigabyte pulled, and how long others wait meanwhile: four layers that can't be compressed."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from runtime.images.layout import write_layout
from tests.bench import cases, pressure
from tests.bench.connection import Target
from tests.bench.servers import program

_BYTES, _PIECE = 1 << 30, 1 << 20
_WITHIN = 600


@asynccontextmanager
async def registry() -> AsyncIterator[str]:
    """The URL of a registry that has the image."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        rootfs = Path(directory, "rootfs")
        rootfs.mkdir()
        with (rootfs / "random").open("wb") as file:
            for _ in range(_BYTES // _PIECE):
                file.write(os.urandom(_PIECE))
        await asyncio.to_thread(write_layout, Path(directory, "layout"), rootfs, {"Cmd": ["/random"]})
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.registry", f"{directory}/layout", stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
        finally:
            process.terminate()
            await process.wait()


async def pull() -> tuple[float, pressure.Waits]:
    """Seconds that the pull took, and how long GETs waited meanwhile."""
    async with (
        registry() as url,
        program("apiserver,controllers,scheduler,kubelet", "--registry-mirror", url) as running,
        pressure.waits(running.target) as waits,
    ):
        began = time.monotonic()
        async with asyncio.timeout(_WITHIN):
            await _pulled(running.target)
        return time.monotonic() - began, waits


async def _pulled(target: Target) -> None:
    path = "/api/v1/namespaces/bench/pods"
    body = {"metadata": {"name": "large"}, "spec": {"containers": [{"name": "c", "image": "large:1"}]}}
    done = asyncio.Event()
    pending = b""

    def look(data: bytes) -> None:
        nonlocal pending
        *lines, pending = (pending + data).split(b"\n")
        if any(b'"reason":"Pulled"' in line for line in lines):
            done.set()

    async with cases.connections(target, 2) as (asking, watching):
        watching.listen(target.request("GET", "/api/v1/namespaces/bench/events?watch=true"), look)
        await asking.ask(target.request("POST", path, orjson.dumps(body), Content_Type=cases.JSON))
        await done.wait()
