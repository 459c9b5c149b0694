"""ResourceQuotas: the status is written through its sub-resource."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import drop_status, keep_status
from apiserver.rules.quota_rules import quota_errors, quota_status_errors, quota_update_errors

RULES = Rules(
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=quota_errors,
    validate_update=quota_update_errors,
    validate_status=quota_status_errors,
)
