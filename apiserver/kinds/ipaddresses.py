"""IPAddresses: each belongs to an object, for as long as it is there."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import all_of, required
from apiserver.rules.immutability import immutable
from apiserver.rules.reference_rules import segment_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_PATH = "spec.parentRef"


def _errors(address: Object) -> list[Cause]:
    parent = (address.get("spec") or {}).get("parentRef")
    if parent is None:
        return [required(_PATH)]
    errors: list[Cause] = []
    if group := parent.get("group"):
        errors += all_of(f"{_PATH}.group", group, names.dns_subdomain(group))
    errors += segment_errors(parent, _PATH, "resource", "name")
    if namespace := parent.get("namespace"):
        errors += all_of(f"{_PATH}.namespace", namespace, names.path_segment(namespace))
    return errors


RULES = Rules(validate=_errors, validate_update=immutable(_PATH), rechecked="never")
