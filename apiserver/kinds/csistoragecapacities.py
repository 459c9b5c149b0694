"""CSIStorageCapacities: how much of a class there is where; only the amount changes."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import all_of, invalid_value
from apiserver.rules.immutability import immutable
from apiserver.rules.label_rules import label_selector_errors
from apiserver.rules.pods.deprecated_labels import selector_warnings
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object


def validate(capacity: Object) -> list[Cause]:
    name, amount = capacity.get("storageClassName") or "", capacity.get("capacity")
    errors = list(label_selector_errors(capacity.get("nodeTopology"), "nodeTopology"))
    errors += all_of("storageClassName", name, names.dns_subdomain(name))
    if amount is not None and of(amount) < ZERO:
        errors.append(invalid_value("capacity", str(of(amount)), "must be greater than or equal to 0"))
    return errors


RULES = Rules(
    validate=validate,
    validate_update=immutable("nodeTopology", "storageClassName"),
    rechecked="never",
    warnings=lambda capacity: list(selector_warnings(capacity.get("nodeTopology"), "nodeTopology")),
)
