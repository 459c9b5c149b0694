"""What label selectors select, and how upstream prints them."""

from __future__ import annotations

import pytest

from controllers.selection import go_text, selected
from machinery.api.resource import Object
from machinery.api.resources import PODS
from machinery.api.selectors import LabelSelector, from_labels, parse_labels
from tests.known import Known

IN_XY = {"key": "k", "operator": "In", "values": ["x", "y"]}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (parse_labels(""), ["a", "b", "c"]),
        (LabelSelector(nothing=True), []),
        (from_labels({"app": "x"}), ["a", "b"]),
        (parse_labels("app=x,tier!=front"), ["b"]),
        (parse_labels("app in (x,y)"), ["a", "b", "c"]),
        (parse_labels("!tier"), ["b", "c"]),
        (parse_labels("app=z"), []),
    ],
)
def test_pods_are_found_by_any_selector(selector: LabelSelector, expected: list[str]) -> None:
    def pod(namespace: str, name: str, **labels: str) -> Object:
        return {"metadata": {"namespace": namespace, "name": name, "labels": labels}}

    pods = [
        pod("n", "a", app="x", tier="front"),
        pod("n", "b", app="x"),
        pod("n", "c", app="y"),
        pod("m", "d", app="x"),
    ]
    cache = Known(*((PODS, each) for each in pods))
    assert sorted(each.name for each in selected(cache, "n", selector)) == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, "nil"),
        ({}, "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{},}"),
        (
            {"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [IN_XY]},
            "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{"
            "LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
        ),
    ],
)
def test_a_selector_as_go_prints_it(selector: Object | None, expected: str) -> None:
    assert go_text(selector) == expected
