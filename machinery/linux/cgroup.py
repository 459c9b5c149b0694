"""The cgroup hierarchies of this host, v1, v2 or hybrid: where a path's controllers are, reading and removing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def is_unified() -> bool:
    """Whether cgroup v2 carries the controllers."""
    return (ROOT / "cgroup.controllers").exists()


def counts_swap() -> bool:
    """Whether memory limits may be told of swap; a kernel can be built or started without."""
    if is_unified():
        return any(ROOT.glob("*/memory.swap.max"))
    return (ROOT / "memory/memory.memsw.limit_in_bytes").exists()


def hierarchies() -> list[Path]:
    """The root folder of each hierarchy."""
    if is_unified():
        return [ROOT]
    return [path for path in sorted(ROOT.iterdir()) if path.is_dir() and not path.is_symlink()]


def folder(path: str, controller: str) -> Path:
    """The folder of a cgroup path in the hierarchy of a v1 controller, or in the one of v2."""
    return ROOT / path.lstrip("/") if is_unified() else ROOT / controller / path.lstrip("/")


def read_int(path: Path) -> int:
    """The file's number; 0 where there is no file, or no limit."""
    try:
        text = path.read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def write(path: str, controller: str, name: str, value: str) -> bool:
    """Writes a file of the cgroup, which is made where it is absent; False where this host doesn't let it."""
    found = folder(path, controller)
    try:
        if not found.is_dir():
            _make(found, path)
        (found / name).write_text(value)
    except OSError:
        return False
    return True


def _make(found: Path, path: str) -> None:
    found.mkdir(parents=True, exist_ok=True)
    if not is_unified():
        return
    # A cgroup of v2 has the controllers that each one above it hands down.
    above = ROOT
    for part in Path(path.strip("/")).parts:
        for name in (above / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):
                (above / "cgroup.subtree_control").write_text(f"+{name}")
        above /= part


def exists(path: str) -> bool:
    """Whether any hierarchy has the cgroup."""
    return any((root / path.lstrip("/")).is_dir() for root in hierarchies())


def enter(path: str, pid: int) -> None:
    """Moves the process into the cgroup, made where it is absent, in every hierarchy that lets it."""
    for root in hierarchies():
        # A new cpuset has no CPUs, and nothing may enter it before it is given some.
        if root.name != "cpuset":
            found = root / path.lstrip("/")
            with contextlib.suppress(OSError):
                found.mkdir(parents=True, exist_ok=True)
                (found / "cgroup.procs").write_text(str(pid))


def remove(path: str) -> None:
    """Removes the cgroup and those below it in every hierarchy; those that still hold processes stay."""
    for root in hierarchies():
        for found in _leaves_first(root / path.lstrip("/")):
            try:
                found.rmdir()
            except OSError:
                continue


def processes(path: str) -> set[int]:
    """The pids in the cgroup and below it."""
    found: set[int] = set()
    for root in hierarchies():
        for each in _leaves_first(root / path.lstrip("/")):
            try:
                found |= {int(line) for line in (each / "cgroup.procs").read_text().split()}
            except OSError:
                continue
    return found


def is_frozen(path: str) -> bool:
    """Whether the cgroup's processes stand still (cgroups(7): freezer)."""
    where = folder(path, "freezer")
    try:
        if is_unified():
            return "frozen 1" in (where / "cgroup.events").read_text().splitlines()
        return (where / "freezer.state").read_text().strip() == "FROZEN"
    except OSError:
        return False


def oom_kills(path: str) -> int:
    """How many processes of the cgroup the kernel has killed for lack of memory."""
    where = folder(path, "memory")
    for name in ("memory.events", "memory.oom_control"):
        try:
            lines = (where / name).read_text().splitlines()
        except OSError:
            continue
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    return 0


def _leaves_first(top: Path) -> Iterator[Path]:
    if top.is_dir():
        for where, _, _ in os.walk(top, topdown=False):
            yield Path(where)
