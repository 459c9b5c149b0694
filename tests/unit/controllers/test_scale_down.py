"""Which pods go when a set shrinks, rule by rule in upstream's order; each row decides by one rule alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controllers.scale_down import missed_least
from machinery.api.timestamps import rfc3339
from machinery.api.views import Pod

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = 3600


def pod(
    name: str, *, node: str = "n", phase: str = "Running", ready: int | None = HOUR, restarts: int = 0,
    age: int = HOUR, cost: str = "",
) -> Pod:  # fmt: skip
    """`ready` is for how many seconds, None for a pod that is not; `age` is in seconds."""
    since = rfc3339(NOW - timedelta(seconds=ready or 0))
    condition = {"type": "Ready", "status": "False" if ready is None else "True", "lastTransitionTime": since}
    annotations = {"controller.kubernetes.io/pod-deletion-cost": cost} if cost else {}
    made = rfc3339(NOW - timedelta(seconds=age))
    metadata = {"name": name, "uid": name, "creationTimestamp": made, "annotations": annotations}
    status = {"phase": phase, "conditions": [condition], "containerStatuses": [{"restartCount": restarts}]}
    return Pod({"metadata": metadata, "spec": {"nodeName": node}, "status": status})


@pytest.mark.parametrize(
    ("goes", "stays"),
    [
        (pod("b", node="", phase="Pending", ready=None), pod("a", phase="Pending", ready=None)),
        (pod("b", phase="Pending", ready=None), pod("a", phase="Unknown", ready=None)),
        (pod("b", phase="Unknown", ready=None), pod("a", ready=None)),
        (pod("b", ready=None), pod("a")),
        # An unready pod goes before a cheap one.
        (pod("b", ready=None, cost="100"), pod("a", cost="-100")),
        (pod("b", cost="-1"), pod("a")),
        (pod("b"), pod("a", cost="1")),
        (pod("b", cost="not a number"), pod("a", cost="+1")),
        (pod("b", ready=60), pod("a")),
        # Of pods that have been ready for about as long the ages by powers of two are the same.
        (pod("b", restarts=3), pod("a", ready=HOUR - 60)),
        (pod("b", age=60), pod("a")),
        (pod("a"), pod("b")),
    ],
)
def test_who_goes_first(goes: Pod, stays: Pod) -> None:
    for pods in ([goes, stays], [stays, goes]):
        assert missed_least(pods, [], 1, NOW) == [goes]


def test_a_node_that_has_many_loses_one_first_and_pods_of_siblings_count() -> None:
    alone, beside = pod("a", node="n1", ready=60), pod("b", node="n2", cost="0")
    sibling = pod("c", node="n2")
    assert missed_least([alone, beside], [alone, beside, sibling], 1, NOW) == [beside]
    sibling.obj["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    assert missed_least([alone, beside], [alone, beside, sibling], 1, NOW) == [alone]
