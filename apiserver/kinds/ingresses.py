"""Ingresses: the status is written through its sub-resource."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import drop_status, keep_status
from apiserver.rules.network.ingress_rules import ingress_errors, ingress_update_errors, ingress_warnings
from apiserver.rules.network.load_balancers import ingress_status_errors

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
