"""Which AppArmor profile a container gets, by what the host has loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from machinery.rpc.wire import CRI
from runtime.errors import InvalidArgument
from runtime.sandbox.apparmor import apparmor_profile


def security(kind: int | None, name: str = "", **more: Any) -> Any:
    asked = {} if kind is None else {"apparmor": {"profile_type": kind, "localhost_ref": name}}
    return CRI.message("runtime.v1.LinuxContainerSecurityContext")(**asked, **more)


@pytest.mark.parametrize(
    ("asked", "profile"),
    [
        (security(None), ""),
        (security(1), ""),
        (security(2, "mine"), "mine"),
        (security(2, "localhost/mine"), "mine"),
        (security(0), "cri-containerd.apparmor.d"),
        (security(2, "none", privileged=True), ""),
    ],
)
def test_a_profile_that_is_loaded(tmp_path: Path, asked: Any, profile: str) -> None:
    loaded = tmp_path / "profiles"
    loaded.write_text("mine (enforce)\ncri-containerd.apparmor.d (enforce)\n")
    assert apparmor_profile(asked, loaded) == profile


def test_one_that_is_not_is_not_left_away_silently(tmp_path: Path) -> None:
    for asked in (security(2, "mine"), security(0)):
        with pytest.raises(InvalidArgument, match="apparmor profile not found"):
            apparmor_profile(asked, tmp_path / "absent")
