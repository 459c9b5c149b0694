"""What the default seccomp profile lets through: by capability, by machine, by argument; and where one is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from machinery.rpc.wire import CRI
from runtime.errors import InvalidArgument
from runtime.sandbox.seccomp import LOCALHOST, default_profile, profile_of


def verdict(profile: dict[str, Any], call: str, *arguments: int) -> str:
    """What the filter says, as libseccomp reads the rules: the first that fits."""
    for rule in profile["syscalls"]:
        if call in rule["names"] and all(fits(each, arguments) for each in rule.get("args") or ()):
            return str(rule["action"].removeprefix("SCMP_ACT_")) + str(rule.get("errnoRet", ""))
    return str(profile["defaultAction"].removeprefix("SCMP_ACT_"))


def fits(condition: dict[str, Any], arguments: tuple[int, ...]) -> bool:
    given, value = arguments[condition["index"]], condition["value"]
    return {
        "SCMP_CMP_EQ": given == value,
        "SCMP_CMP_NE": given != value,
        "SCMP_CMP_MASKED_EQ": given & value == condition.get("valueTwo"),
    }[condition["op"]]


@pytest.mark.parametrize(
    ("call", "arguments", "said"),
    [
        ("read", (), "ALLOW"),
        ("openat2", (), "ALLOW"),
        ("ptrace", (), "ALLOW"),
        ("arch_prctl", (), "ALLOW"),
        ("mount", (), "ERRNO"),
        ("keyctl", (), "ERRNO"),
        ("io_uring_setup", (), "ERRNO"),
        ("a_call_of_tomorrow", (), "ERRNO"),
        ("clone", (0x11,), "ALLOW"),
        ("clone", (0x10000011,), "ERRNO"),
        ("clone3", (), "ERRNO38"),
        ("socket", (2,), "ALLOW"),
        ("socket", (40,), "ERRNO"),
        ("personality", (0xFFFFFFFF,), "ALLOW"),
        ("personality", (0x40000,), "ERRNO"),
    ],
)
def test_a_container_without_capabilities(call: str, arguments: tuple[int, ...], said: str) -> None:
    assert verdict(default_profile((), "x86_64"), call, *arguments) == said


@pytest.mark.parametrize(
    ("capability", "calls"),
    [
        ("CAP_SYS_ADMIN", ("mount", "unshare", "clone3", "setns", "bpf")),
        ("CAP_SYS_CHROOT", ("chroot",)),
        ("CAP_SYS_TIME", ("settimeofday",)),
        ("CAP_SYS_NICE", ("mbind",)),
        ("CAP_SYS_PTRACE", ("process_vm_readv",)),
    ],
)
def test_a_capability_permits_its_calls(capability: str, calls: tuple[str, ...]) -> None:
    without, profile = default_profile((), "x86_64"), default_profile((capability,), "x86_64")
    for call in calls:
        assert verdict(without, call).startswith("ERRNO") and verdict(profile, call) == "ALLOW"
    assert verdict(profile, "keyctl") == "ERRNO"


def test_each_machine_has_its_own() -> None:
    assert verdict(default_profile((), "aarch64"), "cacheflush") == "ALLOW"
    assert verdict(default_profile((), "x86_64"), "cacheflush") == "ERRNO"
    assert verdict(default_profile((), "s390x"), "clone", 0, 0x10000000) == "ERRNO"
    assert "architectures" not in default_profile((), "another")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, 'cannot load seccomp profile "{0}": open {0}: no such file or directory'),
        ("{", 'decoding seccomp profile failed "{0}": Expecting property name'),
    ],
)
def test_a_local_profile_that_can_t_be_had_is_told(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "audit.json"
    if text is not None:
        path.write_text(text)
    profile = {"profile_type": LOCALHOST, "localhost_ref": str(path)}
    asked = CRI.message("runtime.v1.LinuxContainerSecurityContext")(seccomp=profile)
    with pytest.raises(InvalidArgument) as told:
        profile_of(asked, (), "x86_64")
    assert str(told.value).startswith(f"failed to create containerd container: {why.format(path)}")
