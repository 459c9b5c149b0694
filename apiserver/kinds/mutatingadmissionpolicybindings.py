"""MutatingAdmissionPolicyBindings: where a policy holds, and with which parameters."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.admission.admission_policies import MUTATED, binding_errors, default_binding
from machinery.api.errors import Cause
from machinery.api.resource import Object


def _errors(binding: Object) -> list[Cause]:
    return list(binding_errors(binding.get("spec") or {}, MUTATED))


RULES = Rules(default=default_binding, validate=_errors, has_generation=True)
