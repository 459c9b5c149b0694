"""Whether a body's fields exist and have the right types: refused, warned of or ignored as the client asks. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.registry.call import Call
from machinery.api.decoding import field_errors, strict_error
from machinery.api.errors import BadRequest
from machinery.api.resource import Object, Resource


def check_fields(obj: Object, resource: Resource, call: Call, complaints: Sequence[str] | None = None) -> None:
    """Raises BadRequest for wrong types always, for unknown and duplicate fields where validation is Strict.

    `complaints` are what decoding found already; without them the fields are looked up here.
    """
    unknown, types = field_errors(obj, resource)
    kind, version = resource.kind, resource.version
    if types:
        raise BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {types[0]}')
    found = unknown if complaints is None else complaints
    if not found or call.field_validation == "Ignore":
        return
    if call.field_validation == "Strict":
        raise strict_error(kind, version, list(found))
    for each in found:
        call.warn(each)
