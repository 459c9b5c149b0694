"""Processes by their command lines or their parent, for those of which no pid was written down."""

from __future__ import annotations

import os
from pathlib import Path


def with_word(beginning: str) -> dict[int, list[str]]:
    """Pid -> command line of each process that has a word that begins so. Blocks."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = os.fsdecode(path.read_bytes()).split("\0")
        except OSError:
            # It has ended meanwhile.
            continue
        if any(word.startswith(beginning) for word in words):
            found[int(path.parent.name)] = words
    return found


def children(parent: int) -> dict[int, list[str]]:
    """Pid -> command line of each child of the process that lives. Blocks."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # A program may call itself anything, also what is no text.
            state, above = os.fsdecode(path.read_bytes()).rpartition(")")[2].split()[:2]
            if int(above) == parent and state not in "ZX":
                found[int(path.parent.name)] = os.fsdecode((path.parent / "cmdline").read_bytes()).split("\0")
        except OSError:
            # It has ended meanwhile.
            continue
    return found
