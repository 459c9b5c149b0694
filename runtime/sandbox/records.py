"""What is written down of sandboxes and containers before anything is done for them: a start finishes or undoes it.

One JSON file each, on the disk before the first side effect (intent) and after each change that must be remembered.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from machinery.linux.durable import write_durably, write_soon

LOG = logging.getLogger("records")


@dataclass
class SandboxRecord:
    """`state` is creating, ready or stopped; times are Unix nanoseconds."""

    id: str
    name: str
    uid: str
    namespace: str
    attempt: int
    created_at: int
    boot_id: str
    state: str = "creating"
    hostname: str = ""
    log_directory: str = ""
    cgroup_parent: str = ""
    runtime_handler: str = ""
    on_host_network: bool = False
    shares_pid: int = 1
    shares_ipc: int = 0
    address: str = ""
    more_addresses: list[str] = field(default_factory=list)
    ports: list[dict[str, Any]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass
class ContainerRecord:
    """`state` is creating, created, running or exited; times are Unix nanoseconds.

    `pid` with `pid_start` names its first process for good, as conmon's do. `user` and `resources` are as
    CRI's messages spell them.
    """

    id: str
    sandbox_id: str
    name: str
    attempt: int
    created_at: int
    boot_id: str
    image: str = ""
    image_ref: str = ""
    image_id: str = ""
    log_path: str = ""
    state: str = "creating"
    pid: int = 0
    pid_start: int = 0
    conmon_pid: int = 0
    conmon_start: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    stop_signal: str = ""
    cgroup_path: str = ""
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    user: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)


def read_json(path: Path) -> Any:
    """A file beside the records that says more; an empty object where it is gone. Blocks."""
    try:
        return json.loads(path.read_bytes() or b"{}")
    except FileNotFoundError:
        return {}


R = TypeVar("R", SandboxRecord, ContainerRecord)


class Records(Generic[R]):
    """The records of one sort by id, in memory and in a folder. Writing blocks until it is on the disk."""

    def __init__(self, folder: Path, sort: type[R]) -> None:
        self._folder = folder
        self._sort: type[R] = sort
        self._known: dict[str, R] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(".*.new"):
            # A write that a kill cut short.
            path.unlink()
        names = {entry.name for entry in fields(sort)}
        for path in sorted(folder.glob("*.json")):
            text = path.read_text()
            if not text:
                # A power cut emptied it; what it told of ended with that boot.
                path.unlink()
                continue
            told = json.loads(text)
            record = sort(**{key: value for key, value in told.items() if key in names})
            self._known[record.id] = record

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._known.values()))

    def get(self, record_id: str) -> R | None:
        """By id, or by a prefix of it that names just one."""
        found = self._known.get(record_id)
        if found is not None or len(record_id) < 4:
            return found
        alike = [record for known, record in self._known.items() if known.startswith(record_id)]
        return alike[0] if len(alike) == 1 else None

    def write(self, record: R) -> None:
        """Raises OSError, and a new record is not known then."""
        write_durably(self._folder / f"{record.id}.json", json.dumps(asdict(record)).encode())
        self._known[record.id] = record

    def note(self, record: R) -> None:
        """As `write`, but for what the end of the boot makes void anyway: it need not be on the disk."""
        write_soon(self._folder / f"{record.id}.json", json.dumps(asdict(record)).encode())
        self._known[record.id] = record

    def try_note(self, record: R) -> None:
        """As `note`, of what has happened already: a full disk only means that the next start must find it out."""
        try:
            self.note(record)
        except OSError as error:
            LOG.warning("can't write down that %s is %s: %s", record.id, record.state, error)

    def remove(self, record_id: str) -> None:
        """A record that a power cut brings back is found without anything that it tells of, and removed again."""
        if record_id in self._known:
            (self._folder / f"{record_id}.json").unlink(missing_ok=True)
            del self._known[record_id]
