"""ResourceClaims: what they ask for stays, and what they got is written as their status."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.claim_status_rules import claim_status_errors, drop_deallocated
from apiserver.rules.defaulting import drop_status, keep_status
from apiserver.rules.device_rules import claim_spec_errors, default_claim_spec
from apiserver.rules.immutability import immutable

RULES = Rules(
    default=lambda claim: default_claim_spec(claim.get("spec") or {}),
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=lambda claim: list(claim_spec_errors(claim.get("spec") or {}, "spec")),
    validate_update=immutable("spec"),
    prepare_status=drop_deallocated,
    validate_status=claim_status_errors,
    rechecked="never",
)
