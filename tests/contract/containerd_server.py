"""A containerd of a test's own: Debian's, with all that it makes by itself in one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from machinery.linux.mount import mount_points, unmount


@contextmanager
def containerd(folder: Path, cri: str = "", snapshotter: str = "overlayfs") -> Iterator[str]:
    """Its endpoint; `cri` are further lines of its CRI's configuration. `folder` has a short path, for the sockets."""
    if shutil.which("containerd") is None:
        pytest.fail("containerd is missing: apt-get install containerd (its own service need not run)")
    (folder / "config.toml").write_text(
        f"""
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{folder}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
{cri}
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "{folder}/cni"
bin_dir = "/usr/lib/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
"""
    )
    with open(folder / "log", "wb") as log:
        child = subprocess.Popen(["containerd", "--config", folder / "config.toml"], stderr=log)
    try:
        while b"successfully booted" not in (folder / "log").read_bytes():
            assert child.poll() is None, (folder / "log").read_text()
            os.sched_yield()
        yield f"unix://{folder}/c.sock"
    finally:
        child.terminate()
        child.wait()
        for point in reversed(mount_points(folder)):
            unmount(Path(point), lazily=True)
