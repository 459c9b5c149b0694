"""Secrets: the type's default, stringData folded into data, and what each type requires."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from apiserver.kinds.configmaps import LIMIT, decoded_size, immutable_errors
from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import all_of, invalid_value, required, too_long
from apiserver.rules.immutability import immutable
from apiserver.rules.secret_warnings import secret_warnings
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.go_json import syntax_error
from machinery.api.resource import Object
from machinery.api.service_account_secrets import ACCOUNT, TYPE

_DOCKER = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}
_TLS = ("tls.crt", "tls.key")
_BASIC = ("username", "password")
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
        if complaints := names.config_key(key):
            errors += all_of(f"data[{key}]", key, complaints)
    if sum(map(decoded_size, data.values())) > LIMIT:
        errors.append(too_long("data", LIMIT))
    if kind != "Opaque":
        errors += _type_errors(secret, kind, data)
    return errors


def _type_errors(secret: Object, kind: str, data: Object) -> Iterator[Cause]:
    """What each type of Secret must hold."""
    annotations = secret["metadata"].get("annotations") or {}
    if kind == TYPE and not annotations.get(ACCOUNT):
        yield required(f"metadata.annotations[{ACCOUNT}]")
    elif kind in _DOCKER:
        key = _DOCKER[kind]
        if key in data:
            yield from _json_errors(f"data[{key}]", base64.b64decode(data[key] or ""))
        else:
            yield required(f"data[{key}]")
    elif kind == "kubernetes.io/basic-auth" and not any(key in data for key in _BASIC):
        yield from (required(f"data[{key}]") for key in _BASIC)
    elif kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        yield required("data[ssh-privatekey]")
    elif kind == "kubernetes.io/tls":
        yield from (required(f"data[{key}]") for key in _TLS if key not in data)


_JSON_KINDS = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}


def _json_errors(path: str, content: bytes) -> Iterator[Cause]:
    try:
        # Go replaces bytes that are no UTF-8.
        value = json.loads(content.decode(errors="replace"))
    except ValueError:
        yield invalid_value(path, _REDACTED, syntax_error(content))
        return
    if value is not None and not isinstance(value, dict):
        kind = _JSON_KINDS[type(value)]
        detail = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        yield invalid_value(path, _REDACTED, detail)


def validate_update(new: Object, old: Object) -> list[Cause]:
    return [*immutable("type")(new, old), *immutable_errors(new, old, ("data",))]


RULES = Rules(
    default=default,
    validate=validate,
    validate_update=validate_update,
    rechecked="last",
    warnings=secret_warnings,
    update_warnings=lambda new, old: secret_warnings(new),
    selectable_fields=("type",),
)
