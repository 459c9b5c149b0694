"""ValidatingAdmissionPolicyBindings: where a policy holds, with which parameters, and what follows."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.admission.admission_policies import binding_errors, default_binding
from apiserver.rules.field_errors import duplicate, invalid_value, not_supported, required
from machinery.api.errors import Cause
from machinery.api.resource import Object

_PATH = "spec.validationActions"
_ACTIONS = ("Audit", "Deny", "Warn")
_TWICE_TOLD = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and"
    " headers serves no purpose)"
)


def _errors(binding: Object) -> list[Cause]:
    spec = binding.get("spec") or {}
    return [*binding_errors(spec), *_action_errors(spec.get("validationActions") or [])]


def _action_errors(actions: list[str]) -> Iterator[Cause]:
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield not_supported(f"{_PATH}[{index}]", action, _ACTIONS)
        if action in actions[:index]:
            yield duplicate(f"{_PATH}[{index}]", action)
    if "Deny" in actions and "Warn" in actions:
        yield invalid_value(_PATH, actions, _TWICE_TOLD)
    if not actions:
        yield required(_PATH, "at least one validation action is required")


RULES = Rules(default=default_binding, validate=_errors, has_generation=True)
