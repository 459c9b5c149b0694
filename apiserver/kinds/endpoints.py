"""Endpoints: ports are TCP unless said."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from machinery.api.resource import Object


def default(endpoints: Object) -> None:
    for subset in endpoints.get("subsets") or []:
        for port in subset.get("ports") or []:
            port["protocol"] = port.get("protocol") or "TCP"


RULES = Rules(default=default)
