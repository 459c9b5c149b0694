"""Where a strategic merge patch puts what it brings: upstream's order, which `kubectl patch` shows to people."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from machinery.api.resources import DEPLOYMENTS, PODS
from machinery.api.strategic import strategic_merge


def spec(*names: str) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": name} for name in names]}}}}


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        (("a",), ("new",), ("new", "a")),
        (("a", "b"), ("b", "new"), ("a", "b", "new")),
        (("a", "b", "c"), ("c", "a"), ("b", "c", "a")),
        (("a", "b"), ("a",), ("a", "b")),
        ((), ("a", "b"), ("a", "b")),
    ],
)
def test_what_a_patch_brings_comes_first_and_what_stood_before_it_stays_before_it(
    before: tuple[str, ...], patch: tuple[str, ...], after: tuple[str, ...]
) -> None:
    assert strategic_merge(spec(*before), spec(*patch), DEPLOYMENTS) == spec(*after)


def test_values_of_a_set_follow_the_same_rule() -> None:
    before: Object = {"metadata": {"finalizers": ["x/a", "x/b"]}}
    after = strategic_merge(before, {"metadata": {"finalizers": ["x/new", "x/b"]}}, PODS)
    assert after["metadata"]["finalizers"] == ["x/new", "x/a", "x/b"]


def test_a_named_order_rules_over_the_patch() -> None:
    patch = spec("new")
    containers = patch["spec"]["template"]["spec"]
    containers["$setElementOrder/containers"] = [{"name": "a"}, {"name": "new"}]
    assert strategic_merge(spec("a"), patch, DEPLOYMENTS) == spec("a", "new")
