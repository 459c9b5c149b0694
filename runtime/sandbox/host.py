"""What this machine lets containers have; looked at once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from machinery.linux import cgroup
from runtime.sandbox.spec import Host

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
    return Host(capabilities, lowest, cgroup.is_unified())
