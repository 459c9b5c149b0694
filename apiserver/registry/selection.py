"""Which objects a list or watch means: selectors compiled once, asked per entry, parsing it only where need be."""

from __future__ import annotations

from typing import Any

from apiserver.cache_entry import Entry
from apiserver.kinds.rules import rules_for
from apiserver.registry.conversion import stored_resource
from machinery.api import names
from machinery.api.errors import BadRequest
from machinery.api.resource import Object, Resource
from machinery.api.selectors import FieldSelector, LabelSelector, parse_fields, parse_labels
from machinery.structs import Struct

_METADATA = ("metadata.name", "metadata.namespace")


class Selection(Struct, frozen=True):
    """`labels` and `fields` are None where all objects match; `resource` is the stored row."""

    resource: Resource
    labels: LabelSelector | None = None
    fields: FieldSelector | None = None

    @property
    def is_all(self) -> bool:
        return self.labels is None and self.fields is None

    @property
    def name(self) -> str:
        """The one name that matches, "" if there may be more."""
        found = self.fields.exact("metadata.name") if self.fields is not None else None
        return found or ""

    @property
    def namespace(self) -> str:
        """The one namespace that matches, "" if there may be more."""
        found = self.fields.exact("metadata.namespace") if self.fields is not None else None
        return found if found and not names.dns_label(found) else ""

    def matches(self, entry: Entry) -> bool:
        if self.labels is not None and not self.labels.matches(entry.labels):
            return False
        return self.fields is None or self.fields.matches(lambda path: _field(entry, path))


def selection(resource: Resource, labels: str, fields: str) -> Selection:
    """Parses the selectors of a query; raises BadRequest in upstream's words."""
    label_selector = parse_labels(labels) if labels else None
    field_selector = parse_fields(fields) if fields else None
    if field_selector is not None:
        _check_fields(field_selector, resource)
    return Selection(
        stored_resource(resource),
        label_selector if label_selector is not None and not label_selector.empty else None,
        field_selector if field_selector is not None and field_selector.requirements else None,
    )


def _check_fields(selector: FieldSelector, row: Resource) -> None:
    known = rules_for(row).selectable_fields
    metadata = _METADATA if row.namespaced or not known else _METADATA[:1]
    for requirement in selector.requirements:
        field = requirement.field
        if field in metadata or field in known:
            continue
        if known:
            raise BadRequest(_REFUSED.get(row.plural, "field label not supported: {}").format(field))
        said = ", ".join(f'"{each}"' for each in _METADATA)
        raise BadRequest(f'"{field}" is not a known field selector: only {said}')


_REFUSED = {
    "jobs": 'field label "{}" not supported for Job',
    "resourceslices": "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
}
"""How upstream words it of kinds that do not say what all others do."""


def _field(entry: Entry, path: str) -> str:
    if path == "metadata.name":
        return entry.name
    if path == "metadata.namespace":
        return entry.namespace
    return field_value(entry.object, path)


_RENAMED = {
    "spec.host": "spec.nodeName",
    "status.successful": "status.succeeded",
    "reportingController": "reportingComponent",
}
"""Fields that are stored under another name than they are selected by."""
_REGARDING = "regarding."
_ZEROS = {
    "spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0", "status.succeeded": "0",
}  # fmt: skip
"""What Go has where the field is absent."""


def field_value(obj: Object, path: str) -> str:
    """The text that a field selector compares: "" where the field is absent."""
    if path == "status.podIPs":
        # Upstream accepts it, and never fills it in.
        return ""
    if path == "source" and "source" in obj:
        return str((obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "")
    path = _RENAMED.get(path, path)
    if path.startswith(_REGARDING):
        path = f"involvedObject.{path.removeprefix(_REGARDING)}"
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return _ZEROS.get(path, "") if value is None else str(value)
