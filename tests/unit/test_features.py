"""Feature gates as they are given, and the fields of features that are off."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.admission.chain import Review
from apiserver.admission.features import feature_fields
from machinery.api.resource import Object
from machinery.api.resources import STATEFUL_SETS
from machinery.features import FEATURES, MAX_UNAVAILABLE_STATEFUL_SET, features
from machinery.structs import replace


@pytest.mark.parametrize(
    ("said", "is_on"),
    [([], False), (["MaxUnavailableStatefulSet=true"], True), (["MaxUnavailableStatefulSet=False"], False)],
)
def test_what_is_said_lies_over_the_defaults(said: list[str], is_on: bool) -> None:  # noqa: FBT001
    assert features(said) == {**FEATURES, MAX_UNAVAILABLE_STATEFUL_SET: is_on}


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("Nonsense=true", "unrecognized feature gate: Nonsense"),
        ("MaxUnavailableStatefulSet", "missing bool value for MaxUnavailableStatefulSet"),
        ("MaxUnavailableStatefulSet=maybe", "invalid value of MaxUnavailableStatefulSet=maybe"),
    ],
)
def test_what_is_no_gate_is_refused(said: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        features([said])


def stateful_set(**rolling: Any) -> Object:
    return {"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, **rolling}}}}


@pytest.mark.parametrize(
    ("is_on", "new", "old", "kept"),
    [
        (False, {"maxUnavailable": 2}, None, None),
        (False, {"maxUnavailable": 2}, {}, None),
        (False, {"maxUnavailable": 2}, {"maxUnavailable": 3}, 2),
        (True, {"maxUnavailable": 2}, None, 2),
        (True, {}, None, 1),
    ],
)
async def test_a_field_of_a_feature_that_is_off_is_dropped_unless_it_is_there(
    is_on: bool,  # noqa: FBT001
    new: Object,
    old: Object | None,
    kept: int | None,
) -> None:
    call: Any = type("Call", (), {"target": type("Target", (), {"subresource": ""})})
    obj = stateful_set(**new)
    review = Review("CREATE" if old is None else "UPDATE", call, STATEFUL_SETS, "n", "s", obj)
    if old is not None:
        review = replace(review, old=stateful_set(**old))
    await feature_fields({MAX_UNAVAILABLE_STATEFUL_SET: is_on})(review)
    assert obj["spec"]["updateStrategy"]["rollingUpdate"].get("maxUnavailable") == kept
