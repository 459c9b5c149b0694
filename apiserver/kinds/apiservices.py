"""APIServices: which group and version is served by whom."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, keep_status
from apiserver.rules.field_errors import all_of, invalid_value, not_supported, required
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_HIGHEST = {"groupPriorityMinimum": 20000, "versionPriority": 1000}
_STATUSES = ("True", "False", "Unknown")
_NO_GROUP = "only v1 may have an empty group and it better be legacy kube"


def default(service: Object) -> None:
    reference = (service.get("spec") or {}).get("service")
    if reference is not None:
        default_values(reference, port=443)


def prepare_create(service: Object) -> None:
    """What the server itself serves is there at once."""
    service["status"] = {}
    if (service.get("spec") or {}).get("service") is None:
        service["status"]["conditions"] = [dict(_LOCAL)]


_LOCAL = {
    "type": "Available",
    "status": "True",
    "reason": "Local",
    "message": "Local APIServices are always available",
}


def _errors(service: Object) -> list[Cause]:
    spec = service.get("spec") or {}
    group, version = spec.get("group") or "", spec.get("version") or ""
    name, wanted = service["metadata"].get("name") or "", f"{version}.{group}"
    errors: list[Cause] = []
    if name and name != wanted:
        errors.append(invalid_value("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"'))
    if group:
        errors += all_of("spec.group", group, names.dns_subdomain(group))
    elif version != "v1":
        errors.append(required("spec.group", _NO_GROUP))
    errors += all_of("spec.version", version, names.dns1035_label(version))
    for field, highest in _HIGHEST.items():
        priority = spec.get(field) or 0
        if not 0 < priority <= highest:
            errors.append(invalid_value(f"spec.{field}", priority, f"must be positive and less than {highest}"))
    return [*errors, *_server_errors(spec)]


def _server_errors(spec: Object) -> Iterator[Cause]:
    reference, bundle, is_insecure = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    if reference is None:
        if bundle:
            shown = f"{len(base64.b64decode(bundle))} bytes"
            yield invalid_value("spec.caBundle", shown, "local APIServices may not have a caBundle")
        if is_insecure:
            detail = "local APIServices may not have insecureSkipTLSVerify"
            yield invalid_value("spec.insecureSkipTLSVerify", value=True, detail=detail)
        return
    for field in ("namespace", "name"):
        if not reference.get(field):
            yield required(f"spec.service.{field}")
    port = reference.get("port")
    if port is not None and (complaints := names.port_number(port)):
        yield invalid_value("spec.service.port", port, f"port is not valid: {', '.join(complaints)}")
    if is_insecure and bundle:
        yield invalid_value("spec.insecureSkipTLSVerify", value=True, detail="may not be true if caBundle is present")


def _status_errors(new: Object, old: Object) -> list[Cause]:
    return [
        not_supported(f"status.conditions[{index}].status", condition.get("status") or "", _STATUSES)
        for index, condition in enumerate((new.get("status") or {}).get("conditions") or ())
        if condition.get("status") not in _STATUSES
    ]


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    validate=_errors,
    validate_status=_status_errors,
)
