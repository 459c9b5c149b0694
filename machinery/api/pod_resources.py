"""What a pod asks for as a whole (KEP-753, KEP-2837): its containers side by side, its init containers one by one.

Exact quantities, for whoever accounts for pods; what has no spec of its own counts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from machinery.api.quantity import ZERO, Quantity, of
from machinery.api.resource import Object
from machinery.api.views import Pod

Field = Literal["requests", "limits"]
Amounts = dict[str, Quantity]


def amounts(spec: Object, field: Field) -> Amounts:
    """What a container, or the pod itself, says in `resources`."""
    said = (spec.get("resources") or {}).get(field) or {}
    return {name: of(value) for name, value in said.items()}


def pod_total(pod: Pod, field: Field) -> Amounts:
    """What the pod itself says takes the place of its containers' sum; its overhead comes on top."""
    spec = pod.obj["spec"]
    total = {**containers_total(spec, field), **amounts(spec, field)}
    overhead = {name: of(value) for name, value in pod.overhead.items() if field == "requests" or total.get(name)}
    return plus(total, overhead)


def containers_total(spec: Object, field: Field) -> Amounts:
    """What all containers need together: sidecars run beside what starts after them."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        total = plus(total, amounts(container, field))
    running: Amounts = {}
    most: Amounts = {}
    for container in spec.get("initContainers") or ():
        wanted = amounts(container, field)
        if container.get("restartPolicy") == "Always":
            total, running = plus(total, wanted), plus(running, wanted)
            wanted = running
        else:
            wanted = plus(wanted, running)
        most = _largest(most, wanted)
    return _largest(total, most)


def plus(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> Amounts:
    return {name: one.get(name, ZERO) + other.get(name, ZERO) for name in _names(one, other)}


def minus(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> Amounts:
    return {name: one.get(name, ZERO) - other.get(name, ZERO) for name in _names(one, other)}


def _largest(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> Amounts:
    return {**one, **{name: max(one.get(name, amount), amount) for name, amount in other.items()}}


def _names(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> Iterator[str]:
    yield from dict.fromkeys((*one, *other))
