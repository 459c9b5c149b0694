"""A sandbox's namespaces, pinned as files so that no process holds them; a child makes them, as threads can't."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from machinery.linux.mount import unmount
from runtime.errors import Internal

# The hostname belongs to the new UTS namespace, loopback to the new network namespace.
_SET_UP = 'if [ -n "$1" ]; then echo "$1" > /proc/sys/kernel/hostname; fi; if [ -n "$2" ]; then ip link set lo up; fi'
_FLAGS = {"network": "net", "ipc": "ipc", "uts": "uts"}


async def pin(folder: Path, kinds: Sequence[str], hostname: str) -> dict[str, Path]:
    """New namespaces of `kinds` (OCI names: network, ipc, uts) -> their files below `folder`; raises Internal."""
    files = {kind: folder / _FLAGS[kind] for kind in kinds}
    if not files:
        return {}

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in files.values():
            path.touch()

    await asyncio.to_thread(prepare)
    options = [f"--{_FLAGS[kind]}={path}" for kind, path in files.items()]
    name = hostname if "uts" in files else ""
    loopback = "lo" if "network" in files else ""
    child = await asyncio.create_subprocess_exec(
        "unshare",
        *options,
        "sh",
        "-c",
        _SET_UP,
        "sh",
        name,
        loopback,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await child.communicate()
    if child.returncode:
        raise Internal(f"failed to create namespaces: {errors.decode(errors='replace').strip()}")
    return files


def unpin(folder: Path) -> None:
    """Lets the namespaces go; nothing where there are none. Blocks."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        unmount(path, lazily=True)
        path.unlink()
    folder.rmdir()
