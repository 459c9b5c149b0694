"""What upstream refuses where webhooks and policies of admission say which requests they are for."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, duplicate, invalid_value, not_supported, required, too_many
from apiserver.rules.label_rules import label_selector_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

MATCH_POLICIES = ("Equivalent", "Exact")
FAILURE_POLICIES = ("Fail", "Ignore")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_MOST_CONDITIONS = 64
_OTHERS = {"operations": "operations", "apiGroups": "API groups", "apiVersions": "API versions"}


def rule_errors(rule: Object, path: str) -> Iterator[Cause]:
    """Which operations upon which resources."""
    yield from _list_errors(rule, path, "operations")
    for index, operation in enumerate(rule.get("operations") or ()):
        if operation not in OPERATIONS:
            yield not_supported(f"{path}.operations[{index}]", operation, OPERATIONS)
    yield from _list_errors(rule, path, "apiGroups")
    yield from _list_errors(rule, path, "apiVersions")
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            yield required(f"{path}.apiVersions[{index}]")
    yield from _resources_errors(rule.get("resources") or [], f"{path}.resources")
    if rule.get("scope") not in (None, *_SCOPES):
        yield not_supported(f"{path}.scope", rule["scope"], _SCOPES)


def _list_errors(rule: Object, path: str, field: str) -> Iterator[Cause]:
    values = rule.get(field) or []
    if not values:
        yield required(f"{path}.{field}")
    if len(values) > 1 and "*" in values:
        detail = f"if '*' is present, must not specify other {_OTHERS[field]}"
        yield invalid_value(f"{path}.{field}", values, detail)


def _resources_errors(resources: list[str], path: str) -> Iterator[Cause]:
    if not resources:
        yield required(path)
    wild: set[str] = set()
    for index, text in enumerate(resources):
        resource, slash, part = text.partition("/")
        if not text:
            yield required(f"{path}[{index}]")
        if not slash:
            continue
        for covering in (f"{resource}/*", f"*/{part}"):
            if covering in wild:
                yield invalid_value(f"{path}[{index}]", text, f"if '{covering}' is present, must not specify {text}")
        if "*" in (resource, part):
            wild.add(text)
    if len(resources) > 1 and "*/*" in resources:
        yield invalid_value(path, resources, "if '*/*' is present, must not specify other resources")
    # Upstream looks at the last one alone.
    whole = [text for text in resources if text and "/" not in text]
    if "*" in resources and whole[-1] != "*":
        detail = "if '*' is present, must not specify other resources without subresources"
        yield invalid_value(path, resources, detail)


def condition_errors(conditions: list[Object] | None, path: str) -> Iterator[Cause]:
    """Expressions that a request must fulfil: that they are there, and their names."""
    if conditions and len(conditions) > _MOST_CONDITIONS:
        yield too_many(path, len(conditions), _MOST_CONDITIONS)
    seen: set[str] = set()
    for index, condition in enumerate(conditions or ()):
        where, name = f"{path}[{index}]", condition.get("name") or ""
        if not (condition.get("expression") or "").strip():
            yield required(f"{where}.expression")
        if not name:
            yield required(f"{where}.name")
            continue
        yield from all_of(f"{where}.name", name, names.qualified_name(name))
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)


def resources_errors(match: Object, path: str) -> Iterator[Cause]:
    """A policy's MatchResources, whose defaults are filled in."""
    policy = match.get("matchPolicy")
    if policy is None:
        yield required(f"{path}.matchPolicy")
    elif policy not in MATCH_POLICIES:
        yield not_supported(f"{path}.matchPolicy", policy, MATCH_POLICIES)
    for field in ("namespaceSelector", "objectSelector"):
        if match.get(field) is None:
            yield required(f"{path}.{field}")
        yield from label_selector_errors(match.get(field), f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(field) or ()):
            where, given = f"{path}.{field}[{index}]", rule.get("resourceNames") or []
            for place, name in enumerate(given):
                yield from all_of(f"{where}.resourceNames[{place}]", name, names.path_segment(name))
                if name in given[:place]:
                    yield duplicate(f"{where}.resourceNames[{place}]", name)
            yield from rule_errors(rule, where)
