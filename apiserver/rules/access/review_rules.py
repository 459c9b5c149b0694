"""What upstream refuses in questions of who may do what (authorization.k8s.io/v1 validation)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, invalid_value, required
from apiserver.rules.label_rules import value_count_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_RESOURCE, _URLS = "spec.resourceAttributes", "spec.nonResourceAttributes"


def access_review_errors(review: Object, *, names_subject: bool, is_local: bool = False) -> list[Cause]:
    spec, metadata = review.get("spec") or {}, review.get("metadata") or {}
    resource, urls = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    # Upstream prints its own struct here, whose fields have no JSON names.
    shown = {"Path": (urls or {}).get("path", ""), "Verb": (urls or {}).get("verb", "")}
    errors: list[Cause] = []
    if resource is not None and urls is not None:
        errors.append(invalid_value(_URLS, shown, "cannot be specified in combination with resourceAttributes"))
    if resource is None and urls is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.append(invalid_value(_RESOURCE, None, detail))
    if names_subject and not spec.get("user") and not spec.get("groups"):
        errors.append(invalid_value("spec.user", "", "at least one of user or group must be specified"))
    for field in ("fieldSelector", "labelSelector"):
        if (selector := (resource or {}).get(field)) is not None:
            errors += _selector_errors(selector, f"{_RESOURCE}.{field}", of_labels=field == "labelSelector")
    if given := _given(metadata, is_local=is_local):
        errors.append(invalid_value("metadata", given, "must be empty" + (" except for namespace" if is_local else "")))
    named = (resource or {}).get("namespace") or ""
    if is_local and resource is not None and named != (metadata.get("namespace") or ""):
        errors.append(invalid_value(f"{_RESOURCE}.namespace", named, "must match metadata.namespace"))
    if is_local and urls is not None:
        errors.append(invalid_value(_URLS, shown, "disallowed on this kind of request"))
    return errors


def _given(metadata: Object, *, is_local: bool) -> Object:
    ignored = ("managedFields", "creationTimestamp", *(("namespace",) if is_local else ()))
    return {key: value for key, value in metadata.items() if value and key not in ignored}


def _selector_errors(selector: Object, path: str, *, of_labels: bool) -> Iterator[Cause]:
    raw, requirements = selector.get("rawSelector"), selector.get("requirements") or []
    if raw and requirements:
        yield invalid_value(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not requirements:
        yield required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")
    for index, requirement in enumerate(requirements):
        where, key = f"{path}.requirements[{index}]", requirement.get("key") or ""
        operator, values = requirement.get("operator") or "", requirement.get("values")
        if not key:
            yield required(f"{where}.key", "must be specified")
        yield from value_count_errors(operator, values, where)
        if key and of_labels:
            yield from all_of(f"{where}.key", key, names.qualified_name(key))
