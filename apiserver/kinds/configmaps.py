"""ConfigMaps: keys that can be file names, a mebibyte at most, and immutability that can't be taken back."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import all_of, forbidden, invalid_value, too_long
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

LIMIT = 1 << 20


def validate(config_map: Object) -> list[Cause]:
    text, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    errors: list[Cause] = []
    size = 0
    for key, value in text.items():
        if complaints := names.config_key(key):
            errors += all_of(f"data[{key}]", key, complaints)
        if key in binary:
            errors.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(str(value).encode())
    for key, value in binary.items():
        if complaints := names.config_key(key):
            errors += all_of(f"binaryData[{key}]", key, complaints)
        size += decoded_size(value)
    return [*errors, too_long("", LIMIT)] if size > LIMIT else errors


def decoded_size(encoded: str | None) -> int:
    """How many bytes a text in base64 stands for."""
    return len(encoded) // 4 * 3 - encoded.count("=") if encoded else 0


def validate_update(new: Object, old: Object) -> list[Cause]:
    return immutable_errors(new, old, ("data", "binaryData"))


def immutable_errors(new: Object, old: Object, parts: tuple[str, ...]) -> list[Cause]:
    """What may not change once `immutable` is set; Secrets have the same rule."""
    if not old.get("immutable"):
        return []
    errors = [forbidden("immutable", "field is immutable when `immutable` is set")] if not new.get("immutable") else []
    return errors + [
        forbidden(part, "field is immutable when `immutable` is set")
        for part in parts
        if (new.get(part) or {}) != (old.get(part) or {})
    ]


RULES = Rules(validate=validate, validate_update=validate_update, rechecked="last")
