"""StorageClasses: reclaim policy and binding mode."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values
from apiserver.rules.storage.storage_rules import class_errors, class_update_errors, class_warnings
from machinery.api.resource import Object


def default(storage_class: Object) -> None:
    default_values(storage_class, reclaimPolicy="Delete", volumeBindingMode="Immediate")


RULES = Rules(
    default=default,
    validate=class_errors,
    validate_update=class_update_errors,
    warnings=class_warnings,
    update_warnings=lambda new, old: class_warnings(new),
)
