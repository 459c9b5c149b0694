"""The differences of two specs as upstream shows them in refusals of updates: a unified diff of indented JSON."""

from __future__ import annotations

import difflib
import json
from typing import Any

_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
"""What Go escapes in JSON, so that it can stand in a web page."""


def unified(old: Any, new: Any) -> str:
    """What differs, with three lines around; empty where nothing does."""
    before, after = (_lines(value) for value in (old, new))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=3))
    return "".join(f"{line}\n" for line in lines[2:])


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=1, ensure_ascii=False).translate(_ESCAPES).splitlines()
