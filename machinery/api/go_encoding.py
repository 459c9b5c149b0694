"""JSON as Go's encoder writes it into annotations and messages."""

from __future__ import annotations

import json
from typing import Any

_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
"""What Go escapes, so that it can stand in a web page."""


def go_encoded(value: Any, *, sort_keys: bool = False, indent: int | None = None) -> str:
    """Keys as they stand, which is the order of a struct's, or sorted; no blanks but where it is indented."""
    separators = (",", ":" if indent is None else ": ")
    text = json.dumps(value, sort_keys=sort_keys, separators=separators, indent=indent, ensure_ascii=False)
    return text.translate(_ESCAPES)
