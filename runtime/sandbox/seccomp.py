"""The system calls that a container may not make: the runtime's default profile, or one of the host's files.

The default refuses what Docker's documentation lists as blocked and what has joined since: calls that reach beyond the
container, each unless a capability of the container permits it. All others are allowed.
https://docs.docker.com/engine/security/seccomp/
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from runtime.errors import InvalidArgument

_ANY = ""
"""No capability permits it."""
_REFUSED: dict[str, tuple[str, ...]] = {
    _ANY: (
        "_sysctl", "add_key", "create_module", "get_kernel_syms", "io_uring_enter", "io_uring_register",
        "io_uring_setup", "keyctl", "nfsservctl", "query_module", "request_key", "sysfs", "uselib", "userfaultfd",
        "ustat", "vm86", "vm86old",
    ),
    "CAP_SYS_ADMIN": (
        "bpf", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount", "mount_setattr",
        "move_mount", "open_tree", "perf_event_open", "pivot_root", "quotactl", "quotactl_fd", "setdomainname",
        "sethostname", "setns", "swapoff", "swapon", "umount", "umount2", "unshare",
    ),
    "CAP_DAC_READ_SEARCH": ("open_by_handle_at",),
    "CAP_SYS_BOOT": ("kexec_file_load", "kexec_load", "reboot"),
    "CAP_SYS_MODULE": ("delete_module", "finit_module", "init_module"),
    "CAP_SYS_NICE": ("get_mempolicy", "mbind", "move_pages", "set_mempolicy", "set_mempolicy_home_node"),
    "CAP_SYS_PACCT": ("acct",),
    "CAP_SYS_PTRACE": ("kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev"),
    "CAP_SYS_RAWIO": ("ioperm", "iopl"),
    "CAP_SYS_TIME": ("clock_settime", "clock_settime64", "settimeofday", "stime"),
    "CAP_SYS_TTY_CONFIG": ("vhangup",),
    "CAP_SYSLOG": ("syslog",),
}  # fmt: skip
_NAMESPACE_FLAGS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    "armv7l": ["SCMP_ARCH_ARM"],
}
_EPERM, _ENOSYS = 1, 38
DEFAULT, LOCALHOST = 0, 2


def default_profile(capabilities: Collection[str], machine: str) -> dict[str, Any]:
    """The profile for a container with these capabilities, as the OCI specification has it. Pure."""
    names = [name for permitting, calls in _REFUSED.items() if permitting not in capabilities for name in calls]
    rules = [_refuse(names)]
    if "CAP_SYS_ADMIN" not in capabilities:
        rules += [
            _refuse(["clone"], args=[{"index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ"}])
            for flag in _NAMESPACE_FLAGS
        ]
        # Its flags lie in memory, where no filter sees them; C libraries fall back to clone when it is absent.
        rules.append(_refuse(["clone3"], error=_ENOSYS))
    profile: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    if machine in _ARCHITECTURES:
        profile["architectures"] = _ARCHITECTURES[machine]
    return profile


def _refuse(names: list[str], *, error: int = _EPERM, args: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    rule = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": error}
    return {**rule, "args": args} if args else rule


def profile_of(security: Any, capabilities: Collection[str], machine: str) -> dict[str, Any] | None:
    """What the security context asks for; None is unconfined. Raises InvalidArgument. Blocks."""
    if security.privileged or not security.HasField("seccomp"):
        return None
    if security.seccomp.profile_type == DEFAULT:
        return default_profile(capabilities, machine)
    if security.seccomp.profile_type != LOCALHOST:
        return None
    path = security.seccomp.localhost_ref
    try:
        found: dict[str, Any] = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"failed to load seccomp profile {path!r}: {error}") from error
    return found
