"""Ingresses: the status is written through its sub-resource."""

from __future__ import annotations

from apiserver.kinds.defaulting import drop_status, keep_status
from apiserver.kinds.ingress_rules import ingress_errors, ingress_update_errors, ingress_warnings
from apiserver.kinds.load_balancers import ingress_status_errors
from apiserver.kinds.rules import Rules

RULES = Rules(
    prepare_create=drop_status,
    prepare_update=keep_status,
    has_generation=True,
    validate=ingress_errors,
    validate_update=ingress_update_errors,
    validate_status=ingress_status_errors,
    rechecked="never",
    warnings=ingress_warnings,
)
