"""PodDisruptionBudgets: the status is written through its sub-resource."""

from __future__ import annotations

from apiserver.kinds.defaulting import drop_status, keep_status
from apiserver.kinds.rules import Rules
from apiserver.kinds.scaling_rules import budget_errors

RULES = Rules(prepare_create=drop_status, prepare_update=keep_status, has_generation=True, validate=budget_errors)
