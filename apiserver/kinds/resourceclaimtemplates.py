"""ResourceClaimTemplates: claims that are yet to be made, which stay as they are."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.device_rules import claim_spec_errors, default_claim_spec
from apiserver.rules.immutability import immutable
from machinery.api.errors import Cause
from machinery.api.resource import Object


def default(template: Object) -> None:
    default_claim_spec((template.get("spec") or {}).get("spec") or {})


def _errors(template: Object) -> list[Cause]:
    return list(claim_spec_errors((template.get("spec") or {}).get("spec") or {}, "spec.spec"))


RULES = Rules(default=default, validate=_errors, validate_update=immutable("spec"), rechecked="never")
