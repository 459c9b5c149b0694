"""The levels of the Pod Security Standards, as a namespace's labels ask for them, and what a pod lacks of one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from apiserver.rules.field_errors import invalid_value
from apiserver.rules.security.baseline import BASELINE
from apiserver.rules.security.findings import Check, Finding, Judge
from apiserver.rules.security.restricted import RESTRICTED
from machinery.api.errors import Cause
from machinery.api.resource import Object
from machinery.structs import Struct, replace

PRIVILEGED, LEVELS = "privileged", ("privileged", "baseline", "restricted")
"""From the mildest to the strictest."""
_PREFIX = "pod-security.kubernetes.io/"
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")
_NEWEST = max(first for check in (*BASELINE, *RESTRICTED) for first, _ in check.since)


class Level(Struct, frozen=True):
    """`minor` is the version 1.minor of the standards, None for the latest."""

    name: str = PRIVILEGED
    minor: int | None = None

    def __str__(self) -> str:
        return f"{self.name}:{'latest' if self.minor is None else f'v1.{self.minor}'}"

    @property
    def rank(self) -> int:
        return LEVELS.index(self.name)


class Policy(Struct, frozen=True):
    enforce: Level = Level()
    audit: Level = Level()
    warn: Level = Level()

    @property
    def is_privileged(self) -> bool:
        return all(each.name == PRIVILEGED for each in (self.enforce, self.audit, self.warn))


def policy_of(labels: Mapping[str, str]) -> tuple[Policy, list[Cause]]:
    """What a namespace's labels ask for, and what is wrong with them.

    What can't be read is enforced as restricted, and is neither audited nor warned of.
    """
    errors: list[Cause] = []
    if not any(key.startswith(_PREFIX) for key in labels):
        return Policy(), errors
    levels = {mode: _level(labels, mode, errors) for mode in _MODES}
    enforce, warn = levels["enforce"], levels["warn"]
    is_read = labels.get(f"{_PREFIX}enforce") in LEVELS
    if is_read and f"{_PREFIX}warn" not in labels and enforce.rank > warn.rank:
        # Who is held to a level is also told where something will not be able to hold to it.
        minor = warn.minor if f"{_PREFIX}warn-version" in labels else enforce.minor
        levels["warn"] = Level(enforce.name, minor)
    return Policy(**levels), errors


def _level(labels: Mapping[str, str], mode: str, errors: list[Cause]) -> Level:
    found = Level()
    key, name = f"{_PREFIX}{mode}", labels.get(f"{_PREFIX}{mode}")
    if name in LEVELS:
        found = replace(found, name=name)
    elif name is not None:
        errors.append(invalid_value(f"metadata.labels[{key}]", name, f"must be one of {', '.join(LEVELS)}"))
        found = replace(found, name=LEVELS[-1] if mode == "enforce" else PRIVILEGED)
    key, version = f"{key}-version", labels.get(f"{key}-version")
    if version in (None, "latest"):
        return found
    match = _VERSION.fullmatch(version)
    if match is None:
        errors.append(invalid_value(f"metadata.labels[{key}]", version, 'must be "latest" or "v1.x"'))
        return found
    return replace(found, minor=int(match[1]))


def findings(level: Level, metadata: Object, spec: Object) -> list[Finding]:
    """What keeps a pod from the level; nothing where it is allowed."""
    if level.name == PRIVILEGED:
        return []
    minor = _NEWEST if level.minor is None else min(level.minor, _NEWEST)
    return [found for judge in _judges(level.name, minor) if (found := judge(metadata, spec)) is not None]


@lru_cache(maxsize=2 * (_NEWEST + 1))
def _judges(name: str, minor: int) -> tuple[Judge, ...]:
    further: tuple[Check, ...] = RESTRICTED if name == LEVELS[-1] else ()
    replaced = {check.replaces for check in further if check.at(minor)}
    kept = [check for check in BASELINE if check.name not in replaced]
    return tuple(judge for check in (*kept, *further) if (judge := check.at(minor)) is not None)
