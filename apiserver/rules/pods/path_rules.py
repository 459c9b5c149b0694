"""Paths inside of volumes and on hosts, and the modes of files: which of them upstream refuses (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import invalid_value
from machinery.api.errors import Cause

_MOST_MODE = 0o777


def backstep_errors(target: str, path: str) -> Iterator[Cause]:
    """A path must not lead upwards; one complaint is enough for `../../..`."""
    if ".." in target and ".." in target.split("/"):
        yield invalid_value(path, target, "must not contain '..'")


def relative_path_errors(target: str, path: str) -> Iterator[Cause]:
    """A path below some directory: neither absolute nor leading upwards."""
    if target.startswith("/"):
        yield invalid_value(path, target, "must be a relative path")
    yield from backstep_errors(target, path)


def item_path_errors(target: str, path: str) -> Iterator[Cause]:
    """A file in a volume that the kubelet writes, which keeps names that begin with `..` for itself."""
    yield from relative_path_errors(target, path)
    if target.startswith("..") and not target.startswith("../"):
        yield invalid_value(path, target, "must not start with '..'")


def mode_errors(mode: int | None, path: str) -> Iterator[Cause]:
    if mode is not None and not 0 <= mode <= _MOST_MODE:
        yield invalid_value(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")
