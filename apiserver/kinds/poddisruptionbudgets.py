"""PodDisruptionBudgets: how many pods stay, or how many may go. The status is written by itself."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.condition_rules import condition_errors
from apiserver.rules.defaulting import drop_status, keep_status
from apiserver.rules.field_errors import invalid_value, not_negative, not_supported
from apiserver.rules.label_rules import label_selector_errors
from apiserver.rules.workloads.share_rules import more_than_all_errors, share_errors
from machinery.api.errors import Cause
from machinery.api.resource import Object

_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def _errors(budget: Object) -> list[Cause]:
    spec = budget.get("spec") or {}
    least, most, policy = spec.get("minAvailable"), spec.get("maxUnavailable"), spec.get("unhealthyPodEvictionPolicy")
    errors: list[Cause] = []
    if least is not None and most is not None:
        shown = {
            "MinAvailable": least,
            "Selector": spec.get("selector"),
            "MaxUnavailable": most,
            "UnhealthyPodEvictionPolicy": policy,
        }
        errors.append(invalid_value("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            errors += share_errors(value, f"spec.{field}")
            errors += more_than_all_errors(value, f"spec.{field}")
    errors += label_selector_errors(spec.get("selector"), "spec.selector")
    if policy is not None and policy not in _POLICIES:
        errors.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, _POLICIES))
    return errors


def _status_errors(new: Object, old: Object) -> list[Cause]:
    status = new.get("status") or {}
    errors = list(condition_errors(status.get("conditions")))
    for field in _COUNTS:
        errors += not_negative(f"status.{field}", status.get(field))
    return errors


RULES = Rules(
    prepare_create=drop_status,
    prepare_update=keep_status,
    has_generation=True,
    validate=_errors,
    validate_status=_status_errors,
)
