"""The node ports of Services: each number is one Service's, whatever the protocol, as upstream's allocator has it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from apiserver.rules.field_errors import invalid_value
from apiserver.rules.network.service_exposure import EXPOSED, needs_health_check
from machinery.api.errors import InternalError, invalid
from machinery.api.resource import Object

Taken = Callable[[int], bool]


def node_ports(spec: Object) -> Iterator[int]:
    """All that a Service has, that of its health check too."""
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield port["nodePort"]
    if spec.get("healthCheckNodePort"):
        yield spec["healthCheckNodePort"]


class NodePorts:
    """Gives out `numbers`, of which `is_taken` says what others have."""

    def __init__(self, numbers: range) -> None:
        self._numbers = numbers

    def give(self, name: str, spec: Object, is_taken: Taken, own: set[int]) -> set[int]:
        """Fills in what the Service lacks; all that it has then. Raises Invalid where it asks for what it can't have.

        `own` are those that it had before, which it keeps although the range may have changed.
        """
        if spec.get("type") not in EXPOSED:
            return set()
        given: set[int] = set()
        by_port: dict[int, int] = {}
        allocates = spec.get("allocateLoadBalancerNodePorts") is not False
        for index, port in enumerate(spec.get("ports") or ()):
            if number := port.get("nodePort"):
                if number not in given and (why := self._refusal(number, is_taken, own)):
                    cause = invalid_value(f"spec.ports[{index}].nodePort", number, why)
                    raise invalid("Service", name, [cause])
                given.add(number)
                by_port.setdefault(port["port"], number)
        ports = []
        for port in spec.get("ports") or ():
            if not port.get("nodePort") and allocates:
                # TCP and UDP of one port share the number.
                number = by_port.get(port["port"]) or self._free(is_taken, given)
                by_port[port["port"]] = number
                given.add(number)
                ports.append({**port, "nodePort": number})
            else:
                ports.append(port)
        spec["ports"] = ports
        if needs_health_check(spec):
            given.add(self._for_health_check(spec, is_taken, given, own))
        return given

    def _for_health_check(self, spec: Object, is_taken: Taken, given: set[int], own: set[int]) -> int:
        asked: int = spec.get("healthCheckNodePort") or 0
        if not asked:
            asked = spec["healthCheckNodePort"] = self._free(is_taken, given)
        elif why := self._refusal(asked, is_taken, own):
            raise InternalError(f"failed to allocate requested HealthCheck NodePort {asked}: {why}")
        return asked

    def _refusal(self, number: int, is_taken: Taken, own: set[int]) -> str:
        if number in own:
            return ""
        if number not in self._numbers:
            first, last = self._numbers[0], self._numbers[-1]
            return f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
        return "provided port is already allocated" if is_taken(number) else ""

    def _free(self, is_taken: Taken, given: set[int]) -> int:
        start = random.randrange(len(self._numbers))
        for offset in range(len(self._numbers)):
            number = self._numbers[(start + offset) % len(self._numbers)]
            if not is_taken(number) and number not in given:
                return number
        raise InternalError("failed to allocate a nodePort: range is full")
