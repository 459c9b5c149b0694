"""Events: where they may stand, what those with an exact time must tell, and the fields that can be selected by."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import all_of, invalid_value, required
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_LONGEST = (("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024))


def event_errors(event: Object, *, reporter: str) -> list[Cause]:
    """An event stands beside what it is about; with an exact time it also says who saw what.

    `reporter` is what the version that is asked calls the component that reports.
    """
    namespace = event["metadata"].get("namespace") or ""
    about = (event.get("involvedObject") or {}).get("namespace") or ""
    is_exact = event.get("eventTime") is not None
    of_cluster = ("default", "kube-system") if is_exact else ("", "default")
    is_beside = namespace in of_cluster if not about else is_exact or namespace == about
    errors: list[Cause] = []
    if not is_beside:
        errors.append(invalid_value("involvedObject.namespace", about, "does not match event.namespace"))
    if is_exact:
        errors += _exact_errors(event, reporter)
    return errors + all_of("namespace", namespace, names.dns_subdomain(namespace))


def _exact_errors(event: Object, reporter: str) -> Iterator[Cause]:
    component = event.get("reportingComponent") or ""
    if not component:
        yield required(reporter)
    yield from all_of(reporter, component, names.qualified_name(component))
    for field, most in _LONGEST:
        text = event.get(field) or ""
        if not text and field != "message":
            yield required(field)
        if len(text.encode()) > most:
            yield invalid_value(field, "", f"can have at most {most} characters")


RULES = Rules(
    validate=partial(event_errors, reporter="reportingComponent"),
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
