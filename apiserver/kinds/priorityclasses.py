"""PriorityClasses: they preempt unless said."""

from __future__ import annotations

from apiserver.kinds.defaulting import default_values
from apiserver.kinds.rules import Rules
from apiserver.kinds.scaling_rules import priority_class_errors, priority_class_update_errors
from machinery.api.resource import Object


def default(priority_class: Object) -> None:
    default_values(priority_class, preemptionPolicy="PreemptLowerPriority")


RULES = Rules(
    default=default, has_generation=True, validate=priority_class_errors, validate_update=priority_class_update_errors
)
