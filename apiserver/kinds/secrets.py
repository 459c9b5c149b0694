"""Secrets: the type's default, stringData folded into data, and what each type requires."""

from __future__ import annotations

import base64
import json

from apiserver.kinds.configmaps import LIMIT, immutable_errors
from apiserver.kinds.field_errors import all_of, invalid_value, required, too_long
from apiserver.kinds.rules import Rules
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_REQUIRED = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_REDACTED = "<secret contents redacted>"


def default(secret: Object) -> None:
    secret["type"] = secret.get("type") or "Opaque"
    said = secret.pop("stringData", None)
    if said:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in said.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def validate(secret: Object) -> list[Cause]:
    data, kind = secret.get("data") or {}, secret.get("type") or ""
    errors: list[Cause] = []
    for key in data:
        errors += all_of(f"data[{key}]", key, names.config_key(key))
    if sum(len(value or "") * 3 // 4 for value in data.values()) > LIMIT:
        errors.append(too_long("data", LIMIT))
    errors += [required(f"data[{key}]") for key in _REQUIRED.get(kind, ()) if key not in data]
    for key in (".dockerconfigjson", ".dockercfg"):
        if key in _REQUIRED.get(kind, ()) and key in data:
            errors += _json_errors(f"data[{key}]", base64.b64decode(data[key] or ""))
    if kind == "kubernetes.io/service-account-token":
        name = (secret["metadata"].get("annotations") or {}).get("kubernetes.io/service-account.name")
        if not name:
            errors.append(required("metadata.annotations[kubernetes.io/service-account.name]"))
    return errors


def _json_errors(path: str, content: bytes) -> list[Cause]:
    try:
        json.loads(content)
    except ValueError:
        return [invalid_value(path, _REDACTED, _go_json_words(content.decode(errors="replace")))]
    return []


def _go_json_words(text: str) -> str:
    """How Go's encoding/json complains of the first character that is wrong."""
    stripped = text.lstrip()
    if not stripped:
        return "unexpected end of JSON input"
    for literal in ("null", "true", "false"):
        if stripped[0] == literal[0]:
            at = next((i for i, c in enumerate(literal) if stripped[i : i + 1] != c), len(literal))
            if at < len(literal) and stripped[at : at + 1]:
                return f"invalid character '{stripped[at]}' in literal {literal} (expecting '{literal[at]}')"
    if stripped[0] in "{[":
        return "unexpected end of JSON input"
    return f"invalid character '{stripped[0]}' looking for beginning of value"


def validate_update(new: Object, old: Object) -> list[Cause]:
    errors = immutable_errors(new, old, ("data",))
    if new.get("type") != old.get("type"):
        errors.append(invalid_value("type", new.get("type"), "field is immutable"))
    return errors


RULES = Rules(default=default, validate=validate, validate_update=validate_update, selectable_fields=("type",))
