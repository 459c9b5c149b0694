"""Fields of features: those of one that is off are dropped from what does not have them yet, as upstream drops them."""

from __future__ import annotations

from collections.abc import Mapping

from apiserver.admission.chain import Admit, Review
from machinery.api.resource import Object
from machinery.api.resources import STATEFUL_SETS
from machinery.features import MAX_UNAVAILABLE_STATEFUL_SET

_FIELD = "maxUnavailable"


def feature_fields(features: Mapping[str, bool]) -> Admit:
    """`features` says of each whether it is on."""
    is_on = features[MAX_UNAVAILABLE_STATEFUL_SET]

    async def fields(review: Review) -> None:
        """A StatefulSet's `maxUnavailable`: 1 by default where the feature is on."""
        if review.resource != STATEFUL_SETS or review.obj is None or review.subresource:
            return
        strategy = review.obj["spec"].get("updateStrategy") or {}
        rolling = strategy.get("rollingUpdate")
        if rolling is None:
            return
        changed = {key: value for key, value in rolling.items() if key != _FIELD or is_on or _has(review.old)}
        if is_on:
            changed.setdefault(_FIELD, 1)
        review.obj["spec"] = {**review.obj["spec"], "updateStrategy": {**strategy, "rollingUpdate": changed}}

    return fields


def _has(stateful_set: Object | None) -> bool:
    strategy = (stateful_set or {"spec": {}})["spec"].get("updateStrategy") or {}
    return _FIELD in (strategy.get("rollingUpdate") or {})
