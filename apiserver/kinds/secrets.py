"""Secrets: the type's default, and stringData folded into data."""

from __future__ import annotations

import base64

from apiserver.kinds.rules import Rules
from machinery.api.resource import Object


def default(secret: Object) -> None:
    secret["type"] = secret.get("type") or "Opaque"
    said = secret.pop("stringData", None)
    if said:
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in said.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


RULES = Rules(default=default, selectable_fields=("type",))
