"""What both kinds of admission policy, and both of binding, share: defaults, and what is refused.

Expressions must be there; what they mean is not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from apiserver.rules.admission.match_rules import FAILURE_POLICIES, condition_errors, resources_errors
from apiserver.rules.defaulting import default_values
from apiserver.rules.field_errors import all_of, forbidden, invalid_value, not_supported, required
from apiserver.rules.label_rules import label_selector_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

MUTATED = ("*", "CONNECT", "CREATE", "UPDATE")
"""The operations that a mutating policy can be for: there's nothing to mutate in what is deleted."""
_NOT_FOUND = ("Deny", "Allow")
_RESERVED = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return", "var", "void", "while",
))  # fmt: skip
_BOTH = "name and selector are mutually exclusive"


def default_policy(policy: Object) -> None:
    spec = policy.setdefault("spec", {})
    default_values(spec, failurePolicy="Fail")
    if spec.get("matchConstraints") is not None:
        _default_match(spec["matchConstraints"])


def default_binding(binding: Object) -> None:
    match = binding.setdefault("spec", {}).get("matchResources")
    if match is not None:
        _default_match(match)


def _default_match(match: Object) -> None:
    default_values(match, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for rule in [*(match.get("resourceRules") or ()), *(match.get("excludeResourceRules") or ())]:
        default_values(rule, scope="*")


def policy_errors(spec: Object, was: Object, operations: tuple[str, ...] = ()) -> Iterator[Cause]:
    """What both have; `was` is the spec before a change, `operations` are all that its rules may name."""
    failure, kind, match = spec.get("failurePolicy"), spec.get("paramKind"), spec.get("matchConstraints")
    if failure is None:
        yield required("spec.failurePolicy")
    elif failure not in FAILURE_POLICIES:
        yield not_supported("spec.failurePolicy", failure, FAILURE_POLICIES)
    if kind is not None:
        yield from _kind_errors(kind, "spec.paramKind")
    if match is None:
        yield required("spec.matchConstraints")
    else:
        yield from resources_errors(match, "spec.matchConstraints")
        if not match.get("resourceRules"):
            yield required("spec.matchConstraints.resourceRules")
        yield from operation_errors(match, "spec.matchConstraints", operations)
    if any(spec.get(field) != was.get(field) for field in ("paramKind", "matchConditions")):
        yield from condition_errors(spec.get("matchConditions"), "spec.matchConditions")
    for index, variable in enumerate(spec.get("variables") or ()):
        yield from _variable_errors(variable, f"spec.variables[{index}]")


def operation_errors(match: Object, path: str, operations: tuple[str, ...]) -> Iterator[Cause]:
    for rule in match.get("resourceRules") or () if operations else ():
        for operation in rule.get("operations") or ():
            if operation not in operations:
                yield not_supported(f"{path}.resourceRules.operations", operation, operations)


def _kind_errors(reference: Object, path: str) -> Iterator[Cause]:
    text, kind = reference.get("apiVersion") or "", reference.get("kind") or ""
    if not text:
        yield required(f"{path}.apiVersion")
    elif text.count("/") > 1:
        yield invalid_value(f"{path}.apiVersion", text, f"unexpected GroupVersion string: {text}")
    else:
        yield from _group_version_errors(text, f"{path}.apiVersion")
    if not kind:
        yield required(f"{path}.kind")
    elif complaints := names.dns1035_label(kind.lower()):
        detail = f"may have mixed case, but should otherwise match: {','.join(complaints)}"
        yield invalid_value(f"{path}.kind", kind, detail)


def _group_version_errors(text: str, path: str) -> Iterator[Cause]:
    group, _, version = text.rpartition("/")
    if group and (complaints := names.dns_subdomain(group)):
        yield invalid_value(path, group, ",".join(complaints))
    if not version:
        yield invalid_value(path, text, "version must be specified")
    elif complaints := names.dns1035_label(version):
        yield invalid_value(path, version, ",".join(complaints))


def _variable_errors(variable: Object, path: str) -> Iterator[Cause]:
    name = variable.get("name") or ""
    if not name.strip():
        yield required(f"{path}.name", "name is not specified")
    elif re.fullmatch("[_a-zA-Z][_a-zA-Z0-9]*", name) is None or name in _RESERVED:
        yield invalid_value(f"{path}.name", name, "must be a valid CEL identifier")
    if not (variable.get("expression") or "").strip():
        yield required(f"{path}.expression", "expression is not specified")


def binding_errors(spec: Object, operations: tuple[str, ...] = ()) -> Iterator[Cause]:
    name, parameters, match = spec.get("policyName"), spec.get("paramRef"), spec.get("matchResources")
    if name:
        yield from all_of("spec.policyName", name, names.dns_subdomain(name))
    else:
        yield required("spec.policyName")
    if parameters is not None:
        yield from _parameter_errors(parameters, "spec.paramRef")
    if match is not None:
        yield from resources_errors(match, "spec.matchResources")
        yield from operation_errors(match, "spec.matchResources", operations)


def _parameter_errors(reference: Object, path: str) -> Iterator[Cause]:
    name, selector, action = reference.get("name"), reference.get("selector"), reference.get("parameterNotFoundAction")
    if name:
        yield from all_of(f"{path}.name", name, names.path_segment(name))
        if selector is not None:
            yield forbidden(f"{path}.name", _BOTH)
    yield from label_selector_errors(selector, f"{path}.selector")
    if name and selector is not None:
        yield forbidden(f"{path}.selector", _BOTH)
    if not name and selector is None:
        yield required(path, "one of name or selector must be specified")
    if not action:
        yield required(f"{path}.parameterNotFoundAction")
    elif action not in _NOT_FOUND:
        yield not_supported(f"{path}.parameterNotFoundAction", action, _NOT_FOUND)
