"""The objects of flow control that every server has: their spec is what upstream's `internalbootstrap` says."""

from __future__ import annotations

from apiserver.rules.field_errors import invalid_value
from apiserver.rules.pods.internal_types import internal
from machinery.api.errors import Cause
from machinery.api.resource import Object

_ALL = {
    "resourceRules": [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    ],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


_SCHEMAS: dict[str, Object] = {
    "exempt": {
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": [{"subjects": _groups("system:masters"), **_ALL}],
    },
    "catch-all": {
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": 10000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": _groups("system:unauthenticated", "system:authenticated"), **_ALL}],
    },
}
_LEVELS: dict[str, Object] = {
    "exempt": {"type": "Exempt"},
    "catch-all": {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}, "lendablePercent": 0},
    },
}


def fixed_schema_errors(schema: Object) -> list[Cause]:
    name, spec = schema["metadata"].get("name") or "", schema.get("spec") or {}
    if name not in _SCHEMAS or spec == _SCHEMAS[name]:
        return []
    return [invalid_value("spec", internal("FlowSchemaSpec", spec), f"spec of '{name}' must equal the fixed value")]


def fixed_level_errors(level: Object) -> list[Cause]:
    """What is said of `exempt` may differ in its shares."""
    name, spec = level["metadata"].get("name") or "", level.get("spec") or {}
    if name not in _LEVELS or _without_exempt(spec, name) == _LEVELS[name]:
        return []
    but = " except the 'spec.exempt' field" if name == "exempt" else ""
    detail = f"spec of '{name}'{but} must equal the fixed value"
    return [invalid_value("spec", internal("PriorityLevelConfigurationSpec", spec), detail)]


def _without_exempt(spec: Object, name: str) -> Object:
    return {key: value for key, value in spec.items() if key != "exempt" or name != "exempt"}
