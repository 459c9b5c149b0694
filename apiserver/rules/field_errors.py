"""Field errors in upstream's words (`apimachinery/util/validation/field`): each is a `Cause` that names its field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from machinery.api.errors import Cause


def required(path: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", f"Required value: {detail}" if detail else "Required value", path)


def invalid_value(path: str, value: Any, detail: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {said(value)}: {detail}", path)


def not_supported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    known = ", ".join(said(word) for word in supported)
    return Cause("FieldValueNotSupported", f"Unsupported value: {said(value)}: supported values: {known}", path)


def missing(path: str, value: Any, detail: str = "") -> Cause:
    text = f"Not found: {said(value)}"
    return Cause("FieldValueNotFound", f"{text}: {detail}" if detail else text, path)


def duplicate(path: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", f"Duplicate value: {said(value)}", path)


def forbidden(path: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", path)


def too_long(path: str, limit: int) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", path)


def said(value: Any) -> str:
    """A value as Go shows it in an error: a text quoted, all else as its JSON, with `<`, `>` and `&` escaped there."""
    if not isinstance(value, str):
        return orjson.dumps(value).decode().translate(_ESCAPED_IN_JSON)
    if value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    return '"' + "".join(map(_quoted, value)) + '"'


_ESCAPED_IN_JSON = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_ESCAPED_IN_QUOTES = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b",
    "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def _quoted(char: str) -> str:
    """One character as in Go's `strconv.Quote`."""
    if char in _ESCAPED_IN_QUOTES:
        return _ESCAPED_IN_QUOTES[char]
    code = ord(char)
    if char.isprintable():
        return char
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def all_of(path: str, value: Any, details: Iterable[str]) -> list[Cause]:
    """One `Invalid value` for each complaint about a value."""
    return [invalid_value(path, value, detail) for detail in details]


def not_negative(path: str, value: Any) -> list[Cause]:
    if isinstance(value, int) and value < 0:
        return [invalid_value(path, value, "must be greater than or equal to 0")]
    return []


def one_of(path: str, value: Any, supported: tuple[str, ...]) -> list[Cause]:
    """Complains of a value outside `supported`; an absent one is `required`'s business."""
    return [] if value in (None, "") or value in supported else [not_supported(path, value, supported)]


def too_many(path: str, count: int, limit: int) -> Cause:
    noun = "item" if limit == 1 else "items"
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {limit} {noun}", path)


def choice(path: str, value: Any, supported: tuple[str, ...]) -> list[Cause]:
    """Complains of a value outside `supported`, and of none at all."""
    if value in supported:
        return []
    return [not_supported(path, value, supported)] if value else [required(path)]


def in_range(path: str, value: int, least: int, most: int) -> list[Cause]:
    if least <= value <= most:
        return []
    return [invalid_value(path, value, f"must be between {least} and {most}, inclusive")]
