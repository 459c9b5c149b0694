"""JSON as Go's encoder writes it into annotations."""

from __future__ import annotations

import json
from typing import Any

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def go_encoded(value: Any, *, sort_keys: bool = False) -> str:
    """No blanks, what HTML would read escaped; keys as they stand, which is the order of a struct's, or sorted."""
    text = json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False)
    return "".join(_ESCAPES.get(char, char) for char in text)
