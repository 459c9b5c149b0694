"""References to objects of any kind: their group, and the kind and name that must fit into an address."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.field_errors import all_of, required
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
