"""Whether a body's fields exist and have the right types: refused, warned of or ignored as the client asks. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.registry.call import Call
from machinery.api.decoding import Body, field_errors, strict_error
from machinery.api.errors import BadRequest
from machinery.api.messages import resource_message
from machinery.api.resource import Object, Resource


def check_body(body: Body, resource: Resource, call: Call) -> None:
    """As `check_fields`, with what decoding found already."""
    if body.message == "" or body.message != resource_message(resource):
        _refuse_types(field_errors(body.obj, resource)[1], resource)
    _tell(body.complaints, resource, call)


def check_fields(obj: Object, resource: Resource, call: Call) -> None:
    """Raises BadRequest for wrong types always, for unknown and duplicate fields where validation is Strict."""
    unknown, types = field_errors(obj, resource)
    _refuse_types(types, resource)
    _tell(unknown, resource, call)


def _refuse_types(types: Sequence[str], resource: Resource) -> None:
    if types:
        kind, version = resource.kind, resource.version
        raise BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {types[0]}')


def _tell(found: Sequence[str], resource: Resource, call: Call) -> None:
    if not found or call.field_validation == "Ignore":
        return
    if call.field_validation == "Strict":
        raise strict_error(resource.kind, resource.version, found)
    for each in found:
        call.warn(each)
