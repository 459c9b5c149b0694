"""PriorityLevelConfigurations: shares and queues."""

from __future__ import annotations

import math
from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.access.fixed_flows import fixed_level_errors
from apiserver.rules.access.flow_rules import condition_type_errors
from apiserver.rules.defaulting import default_values, drop_status, keep_status
from apiserver.rules.field_errors import forbidden, in_range, invalid_value, not_supported, required
from machinery.api.errors import Cause
from machinery.api.resource import Object

_QUEUES, _HAND, _LENGTH = 64, 8, 50
_MOST_QUEUES, _HASH_BITS = 10_000_000, 60
_NOT_NEGATIVE = "must be a non-negative integer"


def default(level: Object) -> None:
    spec = level.setdefault("spec", {})
    if spec.get("exempt") is not None or spec.get("type") == "Exempt":
        default_values(spec, exempt={})
        default_values(spec["exempt"], nominalConcurrencyShares=0, lendablePercent=0)
    limited = spec.get("limited")
    if limited is not None:
        default_values(limited, nominalConcurrencyShares=30, lendablePercent=0, limitResponse={})
        queuing = limited["limitResponse"].get("queuing")
        if queuing is not None:
            for key, value in (("queues", _QUEUES), ("handSize", _HAND), ("queueLengthLimit", _LENGTH)):
                queuing[key] = queuing.get(key) or value


def _errors(level: Object) -> list[Cause]:
    spec = level.get("spec") or {}
    kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    errors: list[Cause] = []
    if (level["metadata"].get("name") == "exempt") != (kind == "Exempt"):
        errors.append(invalid_value("spec.type", kind, "must be 'Exempt' if and only if `name` is 'exempt'"))
    if kind == "Exempt":
        if limited is not None:
            errors.append(forbidden("spec.limited", "must be nil if the type is not Limited"))
        errors += _share_errors(exempt or {}, "spec.exempt")
    elif kind == "Limited":
        if exempt is not None:
            errors.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
        if limited is None:
            errors.append(required("spec.limited", "must not be empty when type is Limited"))
        else:
            errors += _limited_errors(limited, "spec.limited")
    else:
        errors.append(not_supported("spec.type", kind, ("Exempt", "Limited")))
    return [*errors, *fixed_level_errors(level)]


def _share_errors(shares: Object, path: str) -> Iterator[Cause]:
    nominal, lendable = shares.get("nominalConcurrencyShares") or 0, shares.get("lendablePercent") or 0
    if nominal < 0:
        yield invalid_value(f"{path}.nominalConcurrencyShares", nominal, _NOT_NEGATIVE)
    yield from in_range(f"{path}.lendablePercent", lendable, 0, 100)


def _limited_errors(limited: Object, path: str) -> Iterator[Cause]:
    shares, lent = list(_share_errors(limited, path)), limited.get("borrowingLimitPercent") or 0
    nominal = f"{path}.nominalConcurrencyShares"
    yield from (cause for cause in shares if cause.field == nominal)
    yield from _response_errors(limited.get("limitResponse") or {}, f"{path}.limitResponse")
    yield from (cause for cause in shares if cause.field != nominal)
    if lent < 0:
        yield invalid_value(f"{path}.borrowingLimitPercent", lent, f"if specified, {_NOT_NEGATIVE}")


def _response_errors(response: Object, path: str) -> Iterator[Cause]:
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject":
        if queuing is not None:
            yield forbidden(f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif kind != "Queue":
        yield not_supported(f"{path}.type", kind, ("Queue", "Reject"))
    elif queuing is None:
        yield required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")
    else:
        yield from _queuing_errors(queuing, f"{path}.queuing")


def _queuing_errors(queuing: Object, path: str) -> Iterator[Cause]:
    length, queues, hand = (queuing.get(field) or 0 for field in ("queueLengthLimit", "queues", "handSize"))
    if length <= 0:
        yield invalid_value(f"{path}.queueLengthLimit", length, "must be positive")
    if queues <= 0:
        yield invalid_value(f"{path}.queues", queues, "must be positive")
    elif queues > _MOST_QUEUES:
        yield invalid_value(f"{path}.queues", queues, f"must not be greater than {_MOST_QUEUES}")
    if hand <= 0:
        yield invalid_value(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        yield invalid_value(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        detail = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        )
        yield invalid_value(f"{path}.handSize", hand, detail)


RULES = Rules(
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    has_generation=True,
    validate=_errors,
    validate_status=condition_type_errors,
)
