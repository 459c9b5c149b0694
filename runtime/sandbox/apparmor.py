"""The AppArmor profile of a container: one that the host has loaded, as only the host's administrator can load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.errors import InvalidArgument

RUNTIME_DEFAULT, LOCALHOST = 0, 2
_DEFAULT = "cri-containerd.apparmor.d"
_LOADED = Path("/sys/kernel/security/apparmor/profiles")


def apparmor_profile(security: Any, loaded: Path = _LOADED) -> str:
    """Its name; empty for none. Raises InvalidArgument where the one asked for isn't loaded. Blocks."""
    if security.privileged or not security.HasField("apparmor"):
        return ""
    kind = security.apparmor.profile_type
    if kind not in (RUNTIME_DEFAULT, LOCALHOST):
        return ""
    # containerd's default profile is there where a containerd has run; without it there is no default.
    name = _DEFAULT if kind == RUNTIME_DEFAULT else security.apparmor.localhost_ref.removeprefix("localhost/")
    if name not in _names(loaded):
        raise InvalidArgument(f'apparmor profile not found "{name}"')
    return name


def _names(loaded: Path) -> set[str]:
    """The file has `name (enforce)` a line."""
    try:
        return {line.rpartition(" (")[0] for line in loaded.read_text().splitlines()}
    except OSError:
        return set()
