"""LimitRanges at work: what is filled in and told, and each refusal word for word."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.admission.limits import ANNOTATION, fill_in, violations
from machinery.api.resource import Object


def container(name: str = "c", requests: Object | None = None, limits: Object | None = None) -> Object:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    return {"name": name, **({"resources": resources} if resources else {})}


def pod(*containers: Object, **spec: Any) -> Object:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


DEFAULTS = {
    "type": "Container",
    "default": {"cpu": "1", "memory": "2Gi"},
    "defaultRequest": {"cpu": "500m", "memory": "1Gi"},
}


def test_what_lacks_is_filled_in_and_told() -> None:
    made = pod(container("a"), container("b", {"cpu": "1"}, {"cpu": "1"}), initContainers=[container("i")])
    fill_in(made, [DEFAULTS])
    resources = [each["resources"] for each in (*made["spec"]["containers"], *made["spec"]["initContainers"])]
    whole = {"requests": DEFAULTS["defaultRequest"], "limits": DEFAULTS["default"]}
    assert resources[0] == resources[2] == whole
    assert resources[1] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}
    assert made["metadata"]["annotations"][ANNOTATION] == (
        "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for container a; "
        "memory request for container b; memory limit for container b; "
        "cpu, memory request for init container i; cpu, memory limit for init container i"
    )


def test_who_says_all_is_left_alone() -> None:
    made = pod(container("a", {"cpu": "1", "memory": "1"}, {"cpu": "1", "memory": "1"}))
    fill_in(made, [DEFAULTS, {"type": "Pod", "max": {"cpu": "1"}}])
    assert "annotations" not in made["metadata"]


HALF = pod(container("a", {"cpu": "500m"}, {"cpu": "2"}))


@pytest.mark.parametrize(
    ("item", "obj", "expected"),
    [
        ({"type": "Container", "min": {"cpu": "500m"}, "max": {"cpu": "2"}}, HALF, []),
        (
            {"type": "Container", "min": {"cpu": "1"}},
            HALF,
            ["minimum cpu usage per Container is 1, but request is 500m"],
        ),
        (
            {"type": "Container", "min": {"cpu": "3"}},
            pod(container("a", {"cpu": "3"}, {"cpu": "2"})),
            ["minimum cpu usage per Container is 3, but limit is 2"],
        ),
        (
            {"type": "Container", "min": {"memory": "1Gi"}},
            HALF,
            ["minimum memory usage per Container is 1Gi.  No request is specified"],
        ),
        ({"type": "Container", "max": {"cpu": "1"}}, HALF, ["maximum cpu usage per Container is 1, but limit is 2"]),
        (
            {"type": "Container", "max": {"cpu": "2"}},
            pod(container("a", {"cpu": "3"}, {"cpu": "2"})),
            ["maximum cpu usage per Container is 2, but request is 3"],
        ),
        (
            {"type": "Container", "max": {"cpu": "2"}},
            pod(container("a", {"cpu": "1"})),
            ["maximum cpu usage per Container is 2.  No limit is specified"],
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "3"}},
            HALF,
            ["cpu max limit to request ratio per Container is 3, but provided ratio is 4.000000"],
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "3"}},
            pod(container("a", None, {"cpu": "1"})),
            ["cpu max limit to request ratio per Container is 3, but no request is specified or request is 0"],
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "3"}},
            pod(container("a", {"cpu": "1"})),
            ["cpu max limit to request ratio per Container is 3, but no limit is specified or limit is 0"],
        ),
        (
            {"type": "Container", "max": {"cpu": "1"}},
            pod(container("a", None, {"cpu": "1"}), initContainers=[container("i", None, {"cpu": "3"})]),
            ["maximum cpu usage per Container is 1, but limit is 3"],
        ),
        (
            {"type": "Pod", "max": {"cpu": "3"}},
            pod(container("a", None, {"cpu": "2"}), container("b", None, {"cpu": "2"}), overhead={"cpu": "9"}),
            ["maximum cpu usage per Pod is 3, but limit is 4"],
        ),
        (
            {"type": "Pod", "min": {"cpu": "3"}, "max": {"cpu": "3"}},
            pod(container("a", {"cpu": "2"}, {"cpu": "4"})),
            [
                "minimum cpu usage per Pod is 3, but request is 2",
                "maximum cpu usage per Pod is 3, but limit is 4",
            ],
        ),
        ({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}, HALF, []),
    ],
)
def test_what_leaves_the_limits_of_pods(item: Object, obj: Object, expected: list[str]) -> None:
    assert list(violations(obj, [item], is_pod=True)) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("2Gi", []),
        ("1Gi", ["minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi"]),
        ("9Gi", ["maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 9Gi"]),
    ],
)
def test_what_leaves_the_limits_of_claims(size: str, expected: list[str]) -> None:
    item = {"type": "PersistentVolumeClaim", "min": {"storage": "2Gi"}, "max": {"storage": "5Gi"}}
    claim = {"spec": {"resources": {"requests": {"storage": size}}}}
    assert list(violations(claim, [item, {"type": "Pod", "max": {"cpu": "1"}}], is_pod=False)) == expected
