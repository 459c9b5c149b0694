"""What upstream refuses in how much of a device's capacity may be asked for (KEP-5075)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import duplicate, forbidden, invalid_value, required, too_many
from machinery.api import quantity
from machinery.api.errors import Cause
from machinery.api.quantity import Quantity
from machinery.api.resource import Object

_MOST_VALUES = 10
_ONE_POLICY = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'


def request_policy_errors(capacity: str, policy: Object, path: str) -> Iterator[Cause]:
    values, limits, default = policy.get("validValues"), policy.get("validRange"), policy.get("default")
    most = quantity.of(capacity)
    if values and limits is not None:
        yield forbidden(path, _ONE_POLICY)
    elif values or limits is not None:
        field = "validValues" if values else "validRange"
        if default is None:
            yield required(f"{path}.default", f"required when {field} is defined")
        elif values:
            yield from _values_errors(quantity.of(default), most, [*map(quantity.of, values)], f"{path}.{field}")
        elif limits is not None:
            yield from _range_errors(quantity.of(default), most, limits, f"{path}.{field}")


def _values_errors(default: Quantity, most: Quantity, values: list[Quantity], path: str) -> Iterator[Cause]:
    for index, value in enumerate(values[1:], start=1):
        if values[index - 1] > value:
            yield invalid_value(f"{path}[{index}]", str(value), "values must be sorted in ascending order")
    if len(values) > _MOST_VALUES:
        yield too_many(path, len(values), _MOST_VALUES)
    else:
        yield from _each_value_errors(most, values, path)
    if default not in values or len(values) > _MOST_VALUES:
        yield invalid_value(path, str(default), "default value is not valid according to the requestPolicy")


def _each_value_errors(most: Quantity, values: list[Quantity], path: str) -> Iterator[Cause]:
    for index, value in enumerate(values):
        if value > most:
            yield invalid_value(f"{path}[{index}]", str(value), f"option is larger than capacity value: {most}")
    wholes = [str(value.integer) for value in values]
    for index, whole in enumerate(wholes):
        if whole in wholes[:index]:
            yield duplicate(f"{path}[{index}]", whole)


def _range_errors(default: Quantity, most: Quantity, limits: Object, path: str) -> Iterator[Cause]:
    if limits.get("min") is None:
        yield required(f"{path}.min", "required when validRange is defined")
        return
    low = quantity.of(limits["min"])
    high, step = (None if limits.get(field) is None else quantity.of(limits[field]) for field in ("max", "step"))
    if low > most:
        yield invalid_value(f"{path}.min", str(low), f"min is larger than capacity value: {most}")
    if default < low:
        yield invalid_value(f"{path}.min", str(default), f"default is less than min: {low}")
    if high is not None:
        yield from _high_errors(default, most, low, high, f"{path}.max")
    if step is None:
        return
    if (added := low + step) > most:
        detail = f"one step {added} is larger than capacity value: {most}"
        yield invalid_value(f"{path}.step", str(step), detail)
    for value in (default,) if high is None else (default, high):
        # Upstream divides by it without a look.
        if step.integer and (value.integer - low.integer) % step.integer:
            detail = f"value is not a multiple of a given step ({step}) from ({low})"
            yield invalid_value(f"{path}.step", str(value), detail)


def _high_errors(default: Quantity, most: Quantity, low: Quantity, high: Quantity, path: str) -> Iterator[Cause]:
    if low > high:
        yield invalid_value(path, str(low), f"min is larger than max: {high}")
    if high > most:
        yield invalid_value(path, str(high), f"max is larger than capacity value: {most}")
    if default > high:
        yield invalid_value(path, str(default), f"default is more than max: {high}")
