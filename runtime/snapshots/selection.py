"""Chooses the snapshotter that works where the data directory is, by trying."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from machinery.linux.durable import remove_folder
from machinery.linux.mount import mount, unmount
from runtime.errors import InvalidArgument
from runtime.snapshots.native import NativeSnapshotter
from runtime.snapshots.overlay import OverlaySnapshotter
from runtime.snapshots.snapshot import Snapshotter, Usage

_PROBE, _TARGET = "probe-", "target"
SNAPSHOTTERS: dict[str, Callable[[Path], Snapshotter]] = {"overlay": OverlaySnapshotter, "native": NativeSnapshotter}


def open_snapshotter(root: Path, name: str = "auto") -> Snapshotter:
    """The named snapshotter on `root/<name>`; "auto" is overlay where `overlay_works`, else native."""
    if name == "auto":
        name = "overlay" if overlay_works(root) else "native"
    if name not in SNAPSHOTTERS:
        raise InvalidArgument(f"unknown snapshotter {name!r}")
    return SNAPSHOTTERS[name](root / name)


def spoken_name(snapshotter: Snapshotter) -> str:
    """What containerd's clients call it."""
    return "overlayfs" if isinstance(snapshotter, OverlaySnapshotter) else "native"


def overlay_works(root: Path) -> bool:
    """Whether the kernel mounts overlayfs with layers in `root`; it refuses on some filesystems and without root."""
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{_PROBE}*"):
        # A kill in the middle of this.
        unmount(left / _TARGET, lazily=True)
        remove_folder(left)
    with tempfile.TemporaryDirectory(prefix=_PROBE, dir=root) as directory:
        snapshotter = OverlaySnapshotter(Path(directory) / "snapshots")
        target = Path(directory) / _TARGET
        target.mkdir()
        snapshotter.prepare("layer")
        snapshotter.commit("below", "layer", Usage())
        snapshotter.prepare("top", "below")
        try:
            for value in snapshotter.mounts("top", target):
                mount(value)
            (target / "written").touch()
        except OSError:
            return False
        finally:
            unmount(target)
        return True
