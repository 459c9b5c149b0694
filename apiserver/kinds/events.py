"""Events: where they may stand, and the fields that can be selected by."""

from __future__ import annotations

from apiserver.kinds.field_errors import all_of, invalid_value, required
from apiserver.kinds.rules import Rules
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_NAMESPACES_OF_THE_CLUSTER = ("", "default")


def validate(event: Object) -> list[Cause]:
    """An event stands beside what it is about; with an exact time it also says who saw what."""
    namespace = event["metadata"].get("namespace") or ""
    about = (event.get("involvedObject") or {}).get("namespace") or ""
    errors: list[Cause] = []
    if about != namespace and (about or namespace not in _NAMESPACES_OF_THE_CLUSTER):
        errors.append(invalid_value("involvedObject.namespace", about, "does not match event.namespace"))
    if event.get("eventTime") is not None:
        controller = event.get("reportingComponent") or ""
        if not controller:
            errors.append(required("reportingController"))
        else:
            errors += all_of("reportingController", controller, names.qualified_name(controller))
        errors += [required(field) for field in ("reportingInstance", "action", "reason") if not event.get(field)]
    return errors


RULES = Rules(
    validate=validate,
    selectable_fields=(
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
)
