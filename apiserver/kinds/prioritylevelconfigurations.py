"""PriorityLevelConfigurations: shares and queues."""

from __future__ import annotations

from apiserver.kinds.defaulting import default_values, drop_status, keep_status
from apiserver.kinds.rules import Rules
from machinery.api.resource import Object


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
            for key, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                queuing[key] = queuing.get(key) or value


RULES = Rules(default=default, prepare_create=drop_status, prepare_update=keep_status, has_generation=True)
