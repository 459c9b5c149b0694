"""MutatingAdmissionPolicies: how requests are changed."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.admission.admission_policies import MUTATED, default_policy, policy_errors
from apiserver.rules.field_errors import choice, invalid_value, not_supported, required
from machinery.api.errors import Cause
from machinery.api.resource import Object

_PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_REINVOCATIONS = ("IfNeeded", "Never")


def _errors(policy: Object, old: Object | None = None) -> list[Cause]:
    spec, was = policy.get("spec") or {}, (old or {}).get("spec") or {}
    errors = list(policy_errors(spec, was, MUTATED))
    mutations = spec.get("mutations") or []
    if not mutations:
        errors.append(required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(mutations):
        errors += _mutation_errors(mutation, f"spec.mutations[{index}]")
    return errors + choice("spec.reinvocationPolicy", spec.get("reinvocationPolicy"), _REINVOCATIONS)


def _mutation_errors(mutation: Object, path: str) -> Iterator[Cause]:
    kind = mutation.get("patchType") or ""
    if not kind:
        yield required(f"{path}.patchType")
        return
    if kind not in _PATCHES:
        yield not_supported(f"{path}.patchType", kind, sorted(_PATCHES))
        return
    patch = mutation.get(_PATCHES[kind])
    if patch is None:
        yield required(f"{path}.{_PATCHES[kind]}", f"must be specified when patchType is {kind}")
    elif not (patch.get("expression") or "").strip():
        yield required(f"{path}.{_PATCHES[kind]}.expression")
    for other, field in _PATCHES.items():
        if other != kind and mutation.get(field) is not None:
            yield invalid_value(f"{path}.{field}", f"{{{field}}}", f"must not be specified when patchType is {kind}")


RULES = Rules(default=default_policy, has_generation=True, validate=_errors, validate_update=_errors, rechecked="never")
