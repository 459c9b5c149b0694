"""Which objects a list or watch means: selectors compiled once, asked per entry, parsing it only where need be."""

from __future__ import annotations

from typing import Any

from apiserver.cache_entry import Entry
from apiserver.kinds.rules import rules_for
from apiserver.registry.conversion import stored_resource
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

    def matches(self, entry: Entry) -> bool:
        if self.labels is not None and not self.labels.matches(entry.labels):
            return False
        return self.fields is None or self.fields.matches(lambda path: _field(entry, path))


def selection(resource: Resource, labels: str, fields: str) -> Selection:
    """Parses the selectors of a query; raises BadRequest in upstream's words."""
    row = stored_resource(resource)
    field_selector = parse_fields(fields) if fields else None
    if field_selector is not None:
        _check_fields(field_selector, row)
    label_selector = parse_labels(labels) if labels else None
    return Selection(
        row,
        label_selector if label_selector is not None and not label_selector.empty else None,
        field_selector if field_selector is not None and field_selector.requirements else None,
    )


def _check_fields(selector: FieldSelector, row: Resource) -> None:
    known = rules_for(row).selectable_fields
    for requirement in selector.requirements:
        field = requirement.field
        if field in _METADATA or field in known:
            continue
        if known:
            raise BadRequest(f"field label not supported: {field}")
        said = ", ".join(f'"{each}"' for each in _METADATA)
        raise BadRequest(f'"{field}" is not a known field selector: only {said}')


def _field(entry: Entry, path: str) -> str:
    if path == "metadata.name" or path == "name":
        return entry.name
    if path == "metadata.namespace":
        return entry.namespace
    return field_value(entry.object, path)


def field_value(obj: Object, path: str) -> str:
    """The text that a field selector compares: "" where the field is absent."""
    if path == "status.podIPs":
        return ",".join(each.get("ip", "") for each in (obj.get("status") or {}).get("podIPs") or [])
    if path == "source" and "source" in obj:
        return str((obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "")
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        # Go's zero values of the two booleans that can be selected.
        return "false" if path in ("spec.unschedulable", "spec.hostNetwork") else "0" if path == _REPLICAS else ""
    return str(value)


_REPLICAS = "status.replicas"
