"""The frozen form really refuses, reads as plain JSON does, and its copies can be changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from machinery.api.canonical import canonical
from machinery.api.resources import PODS
from tests.frozen import SharedObjectChangedError, frozen

POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}


@pytest.mark.parametrize(
    "change",
    [
        lambda obj: obj.update(a=1),
        lambda obj: obj["metadata"].__setitem__("name", "q"),
        lambda obj: obj["spec"].pop("containers"),
        lambda obj: obj["spec"].setdefault("a", 1),
        lambda obj: obj["spec"]["containers"].append({}),
        lambda obj: obj["spec"]["containers"][0].clear(),
        lambda obj: obj["spec"]["containers"].sort(),
    ],
)
def test_no_part_of_it_can_be_changed(change: Callable[[Any], object]) -> None:
    with pytest.raises(SharedObjectChangedError):
        change(frozen(POD))


def test_it_is_read_as_the_plain_one() -> None:
    assert frozen(POD) == POD
    assert orjson.loads(orjson.dumps(frozen(POD))) == POD
    assert canonical(frozen(POD), PODS) == canonical(POD, PODS)


def test_its_copy_is_plain() -> None:
    copied = copy.deepcopy(frozen(POD))
    copied["spec"]["containers"].append({"name": "d"})
    assert len(copied["spec"]["containers"]) == 2
