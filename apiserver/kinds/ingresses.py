"""Ingresses: the status is written through its sub-resource."""

from __future__ import annotations

from apiserver.kinds.defaulting import drop_status, keep_status
from apiserver.kinds.network_rules import ingress_errors
from apiserver.kinds.rules import Rules

RULES = Rules(prepare_create=drop_status, prepare_update=keep_status, has_generation=True, validate=ingress_errors)
