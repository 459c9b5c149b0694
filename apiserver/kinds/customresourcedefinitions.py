"""CustomResourceDefinitions: names and conversion."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.crd_rules import definition_errors, definition_update_errors
from apiserver.rules.defaulting import default_values, keep_status
from machinery.api.resource import Object


def default(definition: Object) -> None:
    spec = definition.setdefault("spec", {})
    default_values(spec, conversion={"strategy": "None"})
    names = spec.get("names") or {}
    if names.get("kind"):
        names["singular"] = names.get("singular") or names["kind"].lower()
        names["listKind"] = names.get("listKind") or f"{names['kind']}List"


def prepare_create(definition: Object) -> None:
    stored = [v["name"] for v in definition["spec"].get("versions") or [] if v.get("storage")]
    definition["status"] = {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": stored,
    }


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    validate=definition_errors,
    validate_update=definition_update_errors,
    has_generation=True,
)
