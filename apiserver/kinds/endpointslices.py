"""EndpointSlices: ports have a name and a protocol."""

from __future__ import annotations

from apiserver.kinds.defaulting import default_values
from apiserver.kinds.rules import Rules
from machinery.api.resource import Object


def default(endpoint_slice: Object) -> None:
    for port in endpoint_slice.get("ports") or []:
        default_values(port, name="", protocol="TCP")


RULES = Rules(default=default, has_generation=True)
