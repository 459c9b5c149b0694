"""Which platforms' programs run where: containerd's matching, so that an index gives the same image as there. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable

from machinery.structs import Struct


class Platform(Struct, frozen=True):
    """In Go's words; `str` is how people write it: linux/arm/v7."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


_ALIASES = {"i386": "386", "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}
_ARM = {"armhf": "v7", "armel": "v6"}
_DEFAULTS = {"amd64": ("v1",), "arm64": ("8", "v8")}
"""Variants that are the same as saying none."""
_MACHINES = {
    "x86_64": Platform("linux", "amd64"),
    "aarch64": Platform("linux", "arm64"),
    "armv7l": Platform("linux", "arm", "v7"),
    "armv6l": Platform("linux", "arm", "v6"),
    "i686": Platform("linux", "386"),
}


def host_platform() -> Platform:
    """The platform whose images run here."""
    machine = os.uname().machine
    return _MACHINES.get(machine, Platform("linux", machine))


def normalized(platform: Platform) -> Platform:
    """The one spelling of a platform: x86_64 is amd64, arm64/v8 is arm64, arm is arm/v7."""
    system, architecture, variant = (part.lower() for part in (platform.os, platform.architecture, platform.variant))
    architecture = _ALIASES.get(architecture, architecture)
    if architecture in _ARM:
        return Platform(system, "arm", _ARM[architecture])
    if architecture == "arm":
        return Platform(system, "arm", f"v{variant.removeprefix('v') or '7'}")
    is_default = variant in _DEFAULTS.get(architecture, ())
    return Platform(system, architecture, "" if is_default else variant)


def preferences(wanted: Platform) -> tuple[Platform, ...]:
    """What runs on `wanted`, the best first: amd64 runs 386, arm64 runs arm, arm runs its older variants."""
    wanted = normalized(wanted)
    if wanted.architecture == "amd64":
        below = [Platform(wanted.os, "amd64", f"v{n}" if n > 1 else "") for n in _below(wanted.variant, 1)]
        return (wanted, *below, Platform(wanted.os, "386"))
    if wanted.architecture == "arm64":
        return (wanted, *preferences(Platform(wanted.os, "arm", wanted.variant or "v8")))
    if wanted.architecture == "arm":
        return (wanted, *(Platform(wanted.os, "arm", f"v{n}") for n in _below(wanted.variant, 5)))
    return (wanted,)


def rank(offered: Platform, wanted: Platform) -> int | None:
    """How far down the preferences `offered` stands; None where it doesn't run."""
    order = preferences(wanted)
    spelled = normalized(offered)
    return order.index(spelled) if spelled in order else None


def mismatch(offered: Iterable[Platform], wanted: Platform) -> str:
    """Why nothing fits, naming both sides, in containerd's words as far as it has any."""
    names = ", ".join(dict.fromkeys(str(normalized(each)) for each in offered if each.architecture != "unknown"))
    return (
        f"no match for platform in manifest: the image is for {names or 'no known platform'}, "
        f"this machine runs {normalized(wanted)}: not found"
    )


def _below(variant: str, lowest: int) -> range:
    number = variant.removeprefix("v")
    return range(int(number) - 1, lowest - 1, -1) if number.isdecimal() else range(0)
