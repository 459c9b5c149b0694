"""What this machine lets containers have; looked at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from machinery.linux import cgroup
from machinery.structs import replace
from runtime.errors import InvalidArgument
from runtime.sandbox.spec import Device, Host

# capability(7), by number.
_NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip


@cache
def this_host() -> Host:
    status = Path("/proc/self/status").read_text()
    mask = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), 16)
    capabilities = frozenset(f"CAP_{name}" for number, name in enumerate(_NAMES) if mask >> number & 1)
    # Without CAP_SYS_RESOURCE the score can only be raised.
    lowest = -1000 if "CAP_SYS_RESOURCE" in capabilities else int(Path("/proc/self/oom_score_adj").read_text())
    return Host(capabilities, lowest, cgroup.is_unified(), cgroup.counts_swap())


@cache
def network_sysctls() -> Mapping[str, str]:
    """What a network of a sandbox's own begins with: any user may take low ports and ping there, as on containerd 2.

    Those ports are nobody else's, and an image need not begin as root to serve at 80.
    """
    wanted = {"net.ipv4.ip_unprivileged_port_start": "0"}
    if Path("/proc/self/gid_map").read_text().split() == ["0", "0", "4294967295"]:
        # In a user namespace the kernel refuses groups that it doesn't have.
        wanted["net.ipv4.ping_group_range"] = "0 2147483647"
    return wanted


_NOT_SHARED = ("pts", "shm", "fd", "mqueue", "console", "ptmx")


def devices(top: Path = Path("/dev")) -> list[Device]:
    """The device nodes below `top`, without those that each container has of its own. Blocks."""
    found = []
    for folder, names, files in os.walk(top):
        if Path(folder) == top:
            names[:] = [name for name in names if name not in _NOT_SHARED]
            files = [name for name in files if name not in _NOT_SHARED]
        found += [device for name in files if (device := device_at(Path(folder, name))) is not None]
    return found


def devices_asked(path: Path, target: str, permissions: str) -> list[Device]:
    """What a container that asks for the host's `path` at `target` gets: a device, or all in a folder."""
    if path.is_dir():
        inside = devices(path)
        return [replace(each, path=target + each.path.removeprefix(str(path)), access=permissions) for each in inside]
    found = device_at(path)
    if found is None:
        raise InvalidArgument(f'error gathering device information while adding custom device "{path}"')
    return [replace(found, path=target or str(path), access=permissions or "rwm")]


def device_at(path: Path) -> Device | None:
    """None where there is no device node."""
    try:
        found = path.lstat() if path.is_relative_to("/dev") and not path.is_symlink() else path.stat()
    except OSError:
        return None
    kind = "c" if stat.S_ISCHR(found.st_mode) else "b" if stat.S_ISBLK(found.st_mode) else ""
    if not kind:
        return None
    major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return Device(str(path), kind, major, minor, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
