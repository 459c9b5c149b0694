"""DeviceClasses: which devices they have, and what goes with them."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.device_rules import configuration_errors, selectors_errors
from apiserver.rules.field_errors import invalid_value, too_many
from apiserver.rules.pods.resource_rules import is_extended
from machinery.api.errors import Cause
from machinery.api.resource import Object

_MOST = 32


def _errors(device_class: Object) -> list[Cause]:
    spec = device_class.get("spec") or {}
    configurations, name = spec.get("config") or [], spec.get("extendedResourceName")
    errors = list(selectors_errors(spec.get("selectors"), "spec.selectors"))
    if len(configurations) > _MOST:
        errors.append(too_many("spec.config", len(configurations), _MOST))
        configurations = []
    for index, configuration in enumerate(configurations):
        errors += configuration_errors(configuration, f"spec.config[{index}]")
    if name is not None and not is_extended(name):
        errors.append(invalid_value("spec.extendedResourceName", name, "must be a valid extended resource name"))
    return errors


RULES = Rules(validate=_errors, has_generation=True)
