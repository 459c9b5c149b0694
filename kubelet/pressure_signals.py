"""What eviction looks at, read from the machine: memory, disks, process ids. Blocks."""

from __future__ import annotations

import os
from pathlib import Path

from kubelet.eviction import Observation, Signal

_PROC = Path("/proc")


def observations(root: Path, images: Path | None, proc: Path = _PROC) -> dict[Signal, Observation]:
    """`root` is the kubelet's folder, `images` the runtime's where that is on this machine."""
    found = {Signal.MEMORY: _memory(proc), Signal.PIDS: _pids(proc)}
    disks = ((root, Signal.NODE_DISK, Signal.NODE_INODES), (images, Signal.IMAGE_DISK, Signal.IMAGE_INODES))
    for path, blocks, inodes in disks:
        existing = next((each for each in (path, *path.parents) if each.exists()), None) if path else None
        if existing is None:
            continue
        stat = os.statvfs(existing)
        found[blocks] = Observation(stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize)
        # btrfs and overlayfs on it count no inodes.
        if stat.f_files:
            found[inodes] = Observation(stat.f_favail, stat.f_files)
    return found


def memory(proc: Path = _PROC) -> dict[str, int]:
    """What the kernel tells of the machine's memory (proc(5), /proc/meminfo), by its name with the colon; bytes."""
    lines = (line.split() for line in (proc / "meminfo").read_text().splitlines())
    return {words[0]: int(words[1]) * 1024 for words in lines if len(words) > 1}


def _memory(proc: Path) -> Observation:
    values = memory(proc)
    return Observation(values["MemAvailable:"], values["MemTotal:"])


def _pids(proc: Path) -> Observation:
    most = int((proc / "sys/kernel/pid_max").read_text())
    threads = int((proc / "loadavg").read_text().split()[3].partition("/")[2])
    return Observation(most - threads, most)


def folder_bytes(folder: Path) -> int:
    """What the files below the folder take on the disk; other file systems mounted in it are left out."""
    try:
        device = folder.stat().st_dev
    except OSError:
        return 0
    total, pending = 0, [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    stat = entry.stat(follow_symlinks=False)
                    total += stat.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False) and stat.st_dev == device:
                        pending.append(Path(entry.path))
        except OSError:
            continue
    return total
