"""Protobuf messages as Go's encoding/json writes their generated structs, which is not protobuf's own JSON mapping.

Runtimes written in Go show their requests so (`crictl inspect`), and scripts read it.
"""

from __future__ import annotations

import base64
from typing import Any


def plain(message: Any) -> dict[str, Any]:
    """The message's set fields by their names in the description; enums and 64-bit numbers are numbers."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(value)
    return [_single(each) for each in value] if field.is_repeated else _single(value)


def _single(value: Any) -> Any:
    if hasattr(value, "ListFields"):
        return plain(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
