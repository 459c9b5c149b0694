"""RuntimeClasses: the handler is a label, and stays; what its pods cost and where they run."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import all_of, duplicate, required
from apiserver.rules.immutability import immutable
from apiserver.rules.label_rules import label_errors
from apiserver.rules.pods.deprecated_labels import DEPRECATED
from apiserver.rules.pods.internal_types import internal
from apiserver.rules.pods.placement_rules import toleration_errors
from apiserver.rules.pods.resource_rules import resource_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object


def validate(runtime_class: Object) -> list[Cause]:
    handler = runtime_class.get("handler") or ""
    errors = all_of("handler", handler, names.dns_label(handler)) if handler else [required("handler")]
    if (overhead := runtime_class.get("overhead")) is not None:
        errors += resource_errors({"limits": overhead.get("podFixed")}, "overhead")
    scheduling = runtime_class.get("scheduling") or {}
    errors += label_errors(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    tolerations = scheduling.get("tolerations") or []
    errors += toleration_errors(tolerations, "scheduling.tolerations")
    for index, toleration in enumerate(tolerations):
        if toleration in tolerations[:index]:
            errors.append(duplicate(f"scheduling.tolerations[{index}]", internal("Toleration", toleration)))
    return errors


def warnings(runtime_class: Object) -> list[str]:
    labels = (runtime_class.get("scheduling") or {}).get("nodeSelector") or ()
    return [f"scheduling.nodeSelector: {DEPRECATED[label]}" for label in labels if label in DEPRECATED]


RULES = Rules(
    validate=validate,
    validate_update=immutable("handler"),
    warnings=warnings,
    update_warnings=lambda new, old: warnings(new),
)
