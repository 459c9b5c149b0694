"""The differences of two specs as upstream shows them in refusals of updates: a unified diff of indented JSON."""

from __future__ import annotations

import difflib
from typing import Any

from machinery.api.go_encoding import go_encoded


def unified(old: Any, new: Any) -> str:
    """What differs, with three lines around; empty where nothing does."""
    before, after = (_lines(value) for value in (old, new))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=3))
    return "".join(f"{line}\n" for line in lines[2:])


def _lines(value: Any) -> list[str]:
    return go_encoded(value, indent=1).splitlines()
