"""Which process runs a cluster, and what it says of itself: a lock on the data directory and a state file.

The lock is the truth (the kernel frees it when the process dies, however it dies); the state file is what it told.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from minikube_py.config import Config


class InstanceError(Exception):
    """The cluster can't be started or reached; the message is one line for the user."""


@dataclass
class State:
    """`phase` is starting, ready, stopping or failed; `components` maps a name to its state; times are Unix seconds."""

    pid: int = 0
    started: float = 0.0
    phase: str = "starting"
    reason: str = ""
    ready_after: float = 0.0
    store: str = ""
    components: dict[str, str] = field(default_factory=dict)
    failures: list[float] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Replaces the file in one step, so that a reader never sees half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)))
        os.replace(temporary, path)


def read_state(config: Config) -> State | None:
    """What the last process said; None where there is nothing that can be read."""
    try:
        told: dict[str, Any] = json.loads(config.state_file.read_text())
    except (FileNotFoundError, ValueError, PermissionError):
        return None
    known = {entry.name for entry in fields(State)}
    return State(**{key: value for key, value in told.items() if key in known})


class Lock:
    """The exclusive hold of a data directory, from `acquire` until `release` or the process's end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, config: Config) -> Lock:
        """Raises InstanceError that names the holder's pid."""
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(config.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode().strip() or "unknown"
            os.close(descriptor)
            raise InstanceError(f"another instance (process {holder}) holds {config.data_dir}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def running_pid(config: Config) -> int:
    """The pid of the process that holds the data directory, 0 where none does."""
    try:
        descriptor = os.open(config.lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return 0
    except BlockingIOError:
        text = os.pread(descriptor, 20, 0).decode().strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)


def wait_until_gone(config: Config, pid: int, seconds: float) -> bool:
    """Whether the process ended within `seconds`; waits on a pidfd, so without polling."""
    import select

    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with contextlib.closing(os.fdopen(descriptor)):
        readable, _, _ = select.select([descriptor], [], [], seconds)
    return bool(readable)


def uptime(state: State) -> float:
    return max(time.time() - state.started, 0.0)
