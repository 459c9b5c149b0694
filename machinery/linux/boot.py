"""Which boot this is, and which process a pid names: what was written down before may be about others."""

from __future__ import annotations

from pathlib import Path


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int:
    """The process's start in clock ticks since the boot (proc(5), field 22); 0 where there is no such process.

    With the pid it names a process for good: pids are used again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = stat.rpartition(")")[2].split()
    # A zombie has ended, only its parent has not looked yet.
    return 0 if fields[0] == "Z" else int(fields[19])
