"""References to objects of any kind: their group, and the kind and name that must fit into an address."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, invalid_value, required
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object


def group_errors(reference: Object, path: str) -> Iterator[Cause]:
    """An `apiGroup` that is there is a domain, even an empty one."""
    if (group := reference.get("apiGroup")) is not None:
        yield from all_of(f"{path}.apiGroup", group, names.dns_subdomain(group))


def segment_errors(reference: Object, path: str, *fields: str) -> Iterator[Cause]:
    """Fields that must be there, as parts of an address."""
    for field in fields:
        if value := reference.get(field):
            yield from all_of(f"{path}.{field}", value, names.path_segment(value))
        else:
            yield required(f"{path}.{field}")


def version_errors(reference: Object, path: str, *, wants_group: bool) -> Iterator[Cause]:
    """The `apiVersion` of what is scaled or measured."""
    version = reference.get("apiVersion") or ""
    if version.count("/") > 1:
        yield invalid_value(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    elif wants_group and not version.partition("/")[1]:
        yield invalid_value(f"{path}.apiVersion", version, "apiVersion must specify API group")
