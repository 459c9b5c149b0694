"""FlowSchemas: precedence where none is said, and which requests they are for."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.access.fixed_flows import fixed_schema_errors
from apiserver.rules.access.flow_rules import condition_type_errors, requests_errors
from apiserver.rules.defaulting import drop_status, keep_status
from apiserver.rules.field_errors import all_of, invalid_value, not_supported, required
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_HIGHEST_PRECEDENCE = 10000
_METHODS = ("ByNamespace", "ByUser")
_EXEMPT = "exempt"


def default(schema: Object) -> None:
    spec = schema.setdefault("spec", {})
    spec["matchingPrecedence"] = spec.get("matchingPrecedence") or 1000


def _errors(schema: Object) -> list[Cause]:
    spec = schema.get("spec") or {}
    precedence, method = spec.get("matchingPrecedence") or 0, spec.get("distinguisherMethod")
    level, path = (spec.get("priorityLevelConfiguration") or {}).get("name"), "spec.matchingPrecedence"
    errors: list[Cause] = []
    if precedence <= 0:
        errors.append(invalid_value(path, precedence, "must be a positive value"))
    if precedence > _HIGHEST_PRECEDENCE:
        errors.append(invalid_value(path, precedence, f"must not be greater than {_HIGHEST_PRECEDENCE}"))
    if precedence == 1 and schema["metadata"].get("name") != _EXEMPT:
        detail = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(invalid_value(path, precedence, detail))
    if method is not None and method.get("type") not in _METHODS:
        shown = {"Type": method.get("type") or ""}
        errors.append(not_supported("spec.distinguisherMethod.type", shown, _METHODS))
    path = "spec.priorityLevelConfiguration.name"
    errors += all_of(path, level, names.dns_subdomain(level)) if level else [required(path, _NO_LEVEL)]
    for index, rule in enumerate(spec.get("rules") or ()):
        errors += requests_errors(rule, f"spec.rules[{index}]")
    return [*errors, *fixed_schema_errors(schema)]


_NO_LEVEL = "must reference a priority level"


RULES = Rules(
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    has_generation=True,
    validate=_errors,
    validate_status=condition_type_errors,
)
