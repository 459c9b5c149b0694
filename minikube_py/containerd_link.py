"""The runtime's socket under the path where every text on containerd looks for it, as long as nobody else is there.

So plain `sudo ctr --namespace k8s.io containers list` works. A socket or link that is there already is left alone.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PATH = Path("/run/containerd/containerd.sock")


def make(socket: Path, path: Path = PATH) -> bool:
    """Links `path` to the runtime's `socket` where `path` is free; whether it leads there now."""
    try:
        path.parent.mkdir(mode=0o711, exist_ok=True)
        if path.is_symlink() and not path.exists() and Path(os.readlink(path)).name == socket.name:
            # Another cluster was killed and left it: nobody answers there.
            path.unlink()
        path.symlink_to(socket)
    except OSError:
        # Somebody's socket stands there, or /run can't be written: then there is `minikube-py ctr`.
        return leads_to(socket, path)
    return True


def remove(socket: Path, path: Path = PATH) -> None:
    """Takes the link away if it is this one, and its folder if nothing else is there."""
    if leads_to(socket, path):
        with contextlib.suppress(OSError):
            path.unlink()
            path.parent.rmdir()


def leads_to(socket: Path, path: Path = PATH) -> bool:
    """Whether `path` is the link to `socket`."""
    try:
        return os.readlink(path) == str(socket)
    except OSError:
        return False
