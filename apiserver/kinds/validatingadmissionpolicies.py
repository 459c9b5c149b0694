"""ValidatingAdmissionPolicies: what must hold of a request, and what is written into the audit of it."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.admission.admission_policies import default_policy, policy_errors
from apiserver.rules.condition_rules import condition_errors
from apiserver.rules.defaulting import drop_status, keep_status
from apiserver.rules.field_errors import all_of, duplicate, invalid_value, not_supported, required
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_NEITHER = "validations or auditAnnotations must contain at least one item"
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_MOST_ANNOTATIONS, _LONGEST_EXPRESSION = 20, 5 * 1024
_BLANK = "must be non-empty if specified"


def _errors(policy: Object, old: Object | None = None) -> list[Cause]:
    spec, was = policy.get("spec") or {}, (old or {}).get("spec") or {}
    errors = list(policy_errors(spec, was))
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        return [*errors, required("spec.validations", _NEITHER), required("spec.auditAnnotations", _NEITHER)]
    for index, validation in enumerate(validations):
        errors += _validation_errors(validation, f"spec.validations[{index}]")
    if len(annotations) > _MOST_ANNOTATIONS:
        shown = [{"Key": each.get("key"), "ValueExpression": each.get("valueExpression")} for each in annotations]
        detail = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        errors.append(invalid_value("spec.auditAnnotations", shown, detail))
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{index}]", annotation.get("key") or ""
        errors += _annotation_errors(annotation, f"{policy['metadata'].get('name') or ''}/{key}", path)
        if key in seen:
            errors.append(duplicate(f"{path}.key", key))
        seen.add(key)
    return errors


def _validation_errors(validation: Object, path: str) -> Iterator[Cause]:
    message, reason = validation.get("message") or "", validation.get("reason")
    if not (validation.get("expression") or "").strip():
        yield required(f"{path}.expression", "expression is not specified")
    if (said := validation.get("messageExpression")) and not said.strip():
        yield invalid_value(f"{path}.messageExpression", said, _BLANK)
    if message and not message.strip():
        yield invalid_value(f"{path}.message", message, f"message {_BLANK}")
    elif "\n" in message.strip() or "\r" in message.strip():
        yield invalid_value(f"{path}.message", message, "message must not contain line breaks")
    if reason is not None and reason not in _REASONS:
        yield not_supported(f"{path}.reason", reason, _REASONS)


def _annotation_errors(annotation: Object, name: str, path: str) -> Iterator[Cause]:
    yield from all_of(f"{path}.key", name, names.qualified_name(name))
    expression = (annotation.get("valueExpression") or "").strip()
    if not expression:
        yield required(f"{path}.valueExpression", "valueExpression is not specified")
    elif len(expression) > _LONGEST_EXPRESSION:
        yield required(f"{path}.valueExpression", f"must not exceed {_LONGEST_EXPRESSION} bytes in length")


def _status_errors(new: Object, old: Object) -> list[Cause]:
    status = new.get("status") or {}
    errors: list[Cause] = []
    path = "status.typeChecking.expressionWarnings"
    for index, warning in enumerate((status.get("typeChecking") or {}).get("expressionWarnings") or ()):
        errors += [required(f"{path}[{index}].{field}") for field in ("warning", "fieldRef") if not warning.get(field)]
    return errors + list(condition_errors(status.get("conditions")))


RULES = Rules(
    default=default_policy,
    prepare_create=drop_status,
    prepare_update=keep_status,
    has_generation=True,
    validate=_errors,
    validate_update=_errors,
    validate_status=_status_errors,
    rechecked="never",
)
