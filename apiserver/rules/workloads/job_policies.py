"""What upstream refuses in a Job's policies: which failures count, and what makes it succeed early (batch/v1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from apiserver.rules.field_errors import (
    all_of,
    duplicate,
    invalid_value,
    not_negative,
    not_supported,
    required,
    too_long,
    too_many,
)
from apiserver.rules.workloads.job_indexes import read_indexes
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_MOST_RULES, _MOST_VALUES, _MOST_PATTERNS, _MOST_INDEX_BYTES = 20, 255, 20, 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATES = ("False", "True", "Unknown")


def wrong(path: str, detail: str) -> Cause:
    """Where upstream leaves the value out, as it'd be long."""
    return Cause("FieldValueInvalid", f"Invalid value: {detail}", path)


def _choice(path: str, value: str, supported: Sequence[str]) -> Iterator[Cause]:
    if not value:
        known = " ".join(f'"{word}"' for word in supported)
        yield required(path, f"valid values: [{known}]")
    elif value not in supported:
        yield not_supported(path, value, supported)


def default_failure_policy(spec: Object) -> None:
    """A condition that a rule names is one that holds, unless it says otherwise (batch/v1)."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"


def failure_policy_errors(spec: Object, path: str) -> Iterator[Cause]:
    rules, pod = spec["podFailurePolicy"].get("rules") or [], (spec.get("template") or {}).get("spec") or {}
    if len(rules) > _MOST_RULES:
        yield too_many(f"{path}.rules", len(rules), _MOST_RULES)
    containers = {
        container.get("name") for part in ("containers", "initContainers") for container in pod.get(part) or ()
    }
    for index, rule in enumerate(rules):
        yield from _failure_rule_errors(rule, f"{path}.rules[{index}]", spec, containers)


def _failure_rule_errors(rule: Object, path: str, spec: Object, containers: set[Any]) -> Iterator[Cause]:
    action, codes, conditions = rule.get("action") or "", rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if action == "FailIndex":
        if spec.get("backoffLimitPerIndex") is None:
            yield invalid_value(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")
    else:
        yield from _choice(f"{path}.action", action, _ACTIONS)
    if codes is not None:
        yield from _exit_code_errors(codes, f"{path}.onExitCodes", containers)
    if len(conditions) > _MOST_PATTERNS:
        yield too_many(f"{path}.onPodConditions", len(conditions), _MOST_PATTERNS)
    for index, pattern in enumerate(conditions):
        where, kind = f"{path}.onPodConditions[{index}]", pattern.get("type") or ""
        yield from all_of(f"{where}.type", kind, names.qualified_name(kind))
        yield from _choice(f"{where}.status", pattern.get("status") or "", _STATES)
    if codes is not None and conditions:
        yield wrong(path, "specifying both OnExitCodes and OnPodConditions is not supported")
    if codes is None and not conditions:
        yield wrong(path, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_code_errors(codes: Object, path: str, containers: set[Any]) -> Iterator[Cause]:
    operator, values, name = codes.get("operator") or "", codes.get("values") or [], codes.get("containerName")
    yield from _choice(f"{path}.operator", operator, _OPERATORS)
    if name is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        yield invalid_value(f"{path}.containerName", name, detail)
    if not values:
        yield invalid_value(f"{path}.values", codes.get("values"), "at least one value is required")
    elif len(values) > _MOST_VALUES:
        yield too_many(f"{path}.values", len(values), _MOST_VALUES)
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid_value(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            yield duplicate(f"{path}.values[{index}]", value)
    if values != sorted(values):
        yield invalid_value(f"{path}.values", values, "must be ordered")


def success_policy_errors(spec: Object, path: str) -> Iterator[Cause]:
    rules, completions = spec["successPolicy"].get("rules") or [], spec.get("completions") or 0
    if not rules:
        yield required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
    if len(rules) > _MOST_RULES:
        yield too_many(f"{path}.rules", len(rules), _MOST_RULES)
    for index, rule in enumerate(rules):
        yield from _success_rule_errors(rule, f"{path}.rules[{index}]", completions)


def _success_rule_errors(rule: Object, path: str, completions: int) -> Iterator[Cause]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        yield required(path, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if indexes is not None:
        where = f"{path}.succeededIndexes"
        if len(indexes.encode()) > _MOST_INDEX_BYTES:
            yield too_long(where, _MOST_INDEX_BYTES)
        try:
            total = sum(last - first + 1 for first, last in read_indexes(indexes, completions))
        except ValueError as error:
            yield invalid_value(where, indexes, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    where = f"{path}.succeededCount"
    yield from not_negative(where, count)
    if count > completions:
        detail = f"must be less than or equal to {completions} (the number of specified completions)"
        yield invalid_value(where, count, detail)
    if indexes is not None and count > total:
        detail = (
            f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        )
        yield invalid_value(where, count, detail)


def internal_failure_policy(policy: Object | None) -> Object | None:
    """As upstream's errors show it."""
    return None if policy is None else {"Rules": [_internal_failure_rule(rule) for rule in policy.get("rules") or ()]}


def _internal_failure_rule(rule: Object) -> Object:
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
    if codes is not None:
        codes = {
            "ContainerName": codes.get("containerName"),
            "Operator": codes.get("operator") or "",
            "Values": codes.get("values"),
        }
    if conditions is not None:
        conditions = [{"Type": each.get("type") or "", "Status": each.get("status") or ""} for each in conditions]
    return {"Action": rule.get("action") or "", "OnExitCodes": codes, "OnPodConditions": conditions}


def internal_success_policy(policy: Object | None) -> Object | None:
    """As upstream's errors show it."""
    if policy is None:
        return None
    return {
        "Rules": [
            {"SucceededIndexes": rule.get("succeededIndexes"), "SucceededCount": rule.get("succeededCount")}
            for rule in policy.get("rules") or ()
        ]
    }
