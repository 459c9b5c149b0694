"""PriorityClasses: they preempt unless said, and the system's own have one form."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values
from apiserver.rules.field_errors import choice, forbidden
from apiserver.rules.immutability import immutable
from machinery.api.errors import Cause
from machinery.api.resource import Object

_OF_SYSTEM = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_HIGHEST = 1000000000
_POLICIES = ("Never", "PreemptLowerPriority")


def default(priority_class: Object) -> None:
    default_values(priority_class, preemptionPolicy="PreemptLowerPriority")


def _errors(priority_class: Object) -> list[Cause]:
    name, value = priority_class["metadata"].get("name") or "", priority_class.get("value") or 0
    errors: list[Cause] = []
    if name.startswith("system-"):
        if problem := _system_problem(name, value, is_default=bool(priority_class.get("globalDefault"))):
            detail = "priority class names with 'system-' prefix are reserved for system use only. error: " + problem
            errors.append(forbidden("metadata.name", detail))
    elif value > _HIGHEST:
        errors.append(forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST}"))
    if (policy := priority_class.get("preemptionPolicy")) is not None:
        errors += choice("preemptionPolicy", policy, _POLICIES)
    return errors


def _system_problem(name: str, value: int, *, is_default: bool) -> str:
    if name not in _OF_SYSTEM:
        return f"{name} is not a known system priority class"
    if value != _OF_SYSTEM[name]:
        return f"value of {name} PriorityClass must be {_OF_SYSTEM[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if is_default else ""


def _update_errors(new: Object, old: Object) -> list[Cause]:
    changed = (new.get("value") or 0) != (old.get("value") or 0)
    errors = [forbidden("value", "may not be changed in an update.")] if changed else []
    return errors + immutable("preemptionPolicy")(new, old)


RULES = Rules(default=default, has_generation=True, validate=_errors, validate_update=_update_errors, rechecked="never")
