"""The system calls that a container may make: the runtime's default profile, or one of the host's files.

The default allows what containerd's allows, and refuses the rest: https://docs.docker.com/engine/security/seccomp/
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from runtime.errors import InvalidArgument
from runtime.sandbox.seccomp_calls import ALWAYS, BY_CAPABILITY, BY_MACHINE, PERSONALITIES

_NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_AF_VSOCK = 40
_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"],
    "armv7l": ["SCMP_ARCH_ARM"],
    "ppc64le": ["SCMP_ARCH_PPC64LE"],
    "riscv64": ["SCMP_ARCH_RISCV64"],
    "s390x": ["SCMP_ARCH_S390", "SCMP_ARCH_S390X"],
}
_ENOSYS = 38
DEFAULT, LOCALHOST = 0, 2


def default_profile(capabilities: Collection[str], machine: str) -> dict[str, Any]:
    """The profile for a container with these capabilities, as the OCI specification has it. Pure."""
    names = set(ALWAYS | BY_MACHINE.get(machine, frozenset()))
    for capability in BY_CAPABILITY.keys() & set(capabilities):
        names |= BY_CAPABILITY[capability]
    rules = [_allow(sorted(names)), _allow(["socket"], index=0, value=_AF_VSOCK, op="SCMP_CMP_NE")]
    rules += [_allow(["personality"], index=0, value=value, op="SCMP_CMP_EQ") for value in PERSONALITIES]
    if "CAP_SYS_ADMIN" not in capabilities:
        flags = 1 if machine == "s390x" else 0
        rules.append(_allow(["clone"], index=flags, value=_NEW_NAMESPACES, valueTwo=0, op="SCMP_CMP_MASKED_EQ"))
        # Its flags lie in memory, where no filter sees them; C libraries fall back to clone when it is absent.
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    profile: dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    if machine in _ARCHITECTURES:
        profile["architectures"] = _ARCHITECTURES[machine]
    return profile


def _allow(names: list[str], **argument: Any) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    return {**rule, "args": [argument]} if argument else rule


_WITHOUT = "failed to create containerd container: "
"""As containerd tells it, in whose words people look for it."""


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
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InvalidArgument(f'{_WITHOUT}cannot load seccomp profile "{path}": open {path}: {why}') from error
    except ValueError as error:
        raise InvalidArgument(f'{_WITHOUT}decoding seccomp profile failed "{path}": {error}') from error
    return found
