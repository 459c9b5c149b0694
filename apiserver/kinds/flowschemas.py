"""FlowSchemas: precedence where none is said."""

from __future__ import annotations

from apiserver.kinds.defaulting import drop_status, keep_status
from apiserver.kinds.rules import Rules
from machinery.api.resource import Object


def default(schema: Object) -> None:
    spec = schema.setdefault("spec", {})
    spec["matchingPrecedence"] = spec.get("matchingPrecedence") or 1000


RULES = Rules(default=default, prepare_create=drop_status, prepare_update=keep_status, has_generation=True)
