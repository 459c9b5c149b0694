"""Who is evicted for whom: upstream's rules, and its words where nobody can be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machinery.api.resource import Object
from machinery.structs import replace
from scheduler.framework import Candidate, Outcome
from scheduler.pod_info import PodInfo, Shapes
from scheduler.preemption import choose
from scheduler.profile import DEFAULT
from scheduler.schedule import post_filter, schedule
from scheduler.snapshot import Snapshot
from tests.unit.scheduler.builders import HOST, away, node, pod, spread

NO_VICTIMS = "No preemption victims found for incoming pod"


def there(name: str, priority: int, *, cpu: str = "1", started: str = "", **more: object) -> Object:
    return {**pod(name, cpu=cpu, priority=priority, **more), "status": {"startTime": started}}  # type: ignore[arg-type]


def preempt(wanted: Object, nodes: list[Object], on: dict[str, list[Object]], *budgets: Object) -> Outcome:
    nomination = (wanted.get("status") or {}).get("nominatedNodeName", "")
    snapshot = replace(Snapshot.of(nodes, on), budgets=budgets, nomination=nomination)
    return outcome_of(Shapes().info(wanted), snapshot)


def outcome_of(info: PodInfo, snapshot: Snapshot) -> Outcome:
    decision = schedule(info, snapshot)
    assert not decision.node
    steps = post_filter(info, snapshot, decision, DEFAULT)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


def victims(outcome: Outcome) -> tuple[str, list[str]] | None:
    return (outcome.chosen.node, [each.key.name for each in outcome.chosen.victims]) if outcome.chosen else None


def budget(app: str, allowed: int, disrupted: Object | None = None) -> Object:
    selector = {"matchLabels": {"app": app}}
    status = {"disruptionsAllowed": allowed, "disruptedPods": disrupted or {}}
    return {"metadata": {"name": app, "namespace": "n"}, "spec": {"selector": selector}, "status": status}


VIP = pod("vip", cpu="1", priority=100)
TWO = [node("a"), node("b")]


@pytest.mark.parametrize(
    ("on", "chosen"),
    [
        ({"a": [there("1", 9), there("2", 9)], "b": [there("3", 5), there("4", 50)]}, ("b", ["3"])),
        # The lowest of the highest priorities, then the lowest sum, then the fewest, then the latest started.
        ({"a": [there("1", 9, cpu="2")], "b": [there("2", 5, cpu="2")]}, ("b", ["2"])),
        ({"a": [there("1", 5, cpu="1"), there("2", 5, cpu="1")], "b": [there("3", 5, cpu="2")]}, ("a", ["2"])),
        (
            {"a": [there("1", 5, cpu="2", started="2026-01-01")], "b": [there("2", 5, cpu="2", started="2026-01-02")]},
            ("b", ["2"]),
        ),
        # A small one that need not go stays.
        ({"a": [there("1", 5, cpu="1500m"), there("2", 9, cpu="500m")], "b": [there("3", 100, cpu="2")]}, ("a", ["1"])),
        ({"a": [there("1", 100), there("2", 100)], "b": [there("3", 100, cpu="2")]}, None),
    ],
)
def test_the_least_harm_is_done(on: dict[str, list[Object]], chosen: tuple[str, list[str]] | None) -> None:
    assert victims(preempt(VIP, TWO, on)) == chosen


def test_a_budget_is_spared_where_that_can_be() -> None:
    on = {"a": [there("1", 5, cpu="2", app="db")], "b": [there("2", 50, cpu="2")]}
    assert victims(preempt(VIP, TWO, on)) == ("a", ["1"])
    assert victims(preempt(VIP, TWO, on, budget("db", 0))) == ("b", ["2"])
    assert victims(preempt(VIP, TWO, on, budget("db", 1))) == ("a", ["1"])
    assert victims(preempt(VIP, TWO, on, budget("db", 0, {"1": "2026-01-01T00:00:00Z"}))) == ("a", ["1"])
    # A budget is no wall: where nothing else helps it is violated.
    assert victims(preempt(VIP, TWO[:1], on, budget("db", 0))) == ("a", ["1"])


@pytest.mark.parametrize(
    ("wanted", "on", "message"),
    [
        (VIP, {"a": [there("1", 100, cpu="2")], "b": [there("2", 100, cpu="2")]}, f"2 {NO_VICTIMS}."),
        (VIP, {"a": [there("1", 5, cpu="500m"), there("2", 100)], "b": [there("3", 100, cpu="2")]}, None),
        (
            pod("vip", cpu="2", priority=100),
            {"a": [there("1", 5), there("2", 100)], "b": [there("3", 100)]},
            f"1 Insufficient cpu, 1 {NO_VICTIMS}.",
        ),
        (
            pod("vip", cpu="3", priority=100),
            {"a": [there("1", 5)]},
            "2 Preemption is not helpful for scheduling.",
        ),
    ],
)
def test_it_is_told_why_nobody_is_evicted(wanted: Object, on: dict[str, list[Object]], message: str | None) -> None:
    outcome = preempt(wanted, TWO, on)
    if message is None:
        assert victims(outcome)
        return
    assert outcome.nominated == ""
    assert outcome.message.endswith(f"no new claims to deallocate, preemption: 0/2 nodes are available: {message}")


def test_a_pod_may_be_told_never_to_evict() -> None:
    wanted = pod("vip", cpu="1", priority=100, preemptionPolicy="Never")
    outcome = preempt(wanted, TWO[:1], {"a": [there("1", 5, cpu="2")]})
    assert outcome.message == (
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, "
        "preemption: not eligible due to preemptionPolicy=Never."
    )


def test_while_its_victims_end_no_others_are_chosen() -> None:
    gone = there("1", 5, cpu="2")
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    gone["status"]["conditions"] = [condition]
    wanted = {**VIP, "status": {"nominatedNodeName": "a"}}
    outcome = preempt(wanted, TWO, {"a": [gone], "b": [there("2", 5, cpu="2")]})
    assert outcome.message.endswith("preemption: not eligible due to a terminating pod on the nominated node.")
    assert outcome.nominated is None


def test_those_who_stand_in_the_way_of_anti_affinity_or_spreading_go() -> None:
    full = {"a": [there("1", 5, cpu="100m", app="web")]}
    wanted = pod("vip", app="web", priority=100, affinity=away("web"))
    assert victims(preempt(wanted, TWO[:1], full)) == ("a", ["1"])
    on = {"a": [there("1", 5, app="web", cpu="100m")], "b": []}
    rule = spread("web", HOST)
    wanted = pod("vip", app="web", priority=100, cpu="2", topologySpreadConstraints=[rule])
    assert victims(preempt(wanted, [node("a"), node("b", cpu="1")], on)) == ("a", ["1"])


def test_room_that_was_made_for_one_pod_is_not_given_to_a_lesser_one() -> None:
    shapes = Shapes()
    snapshot = replace(Snapshot.of(TWO[:1], {}), nominated={"a": (shapes.info(pod("vip", cpu="2", priority=100)),)})
    assert schedule(shapes.info(pod("p", cpu="1")), snapshot).node == ""
    assert schedule(shapes.info(pod("p", cpu="1", priority=101)), snapshot).node == "a"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 8)), max_size=6), st.integers(1, 8))
def test_after_the_eviction_the_pod_fits_and_nobody_went_needlessly(on: list[tuple[int, int]], wants: int) -> None:
    pods, used = [], 0
    for number, (priority, quarter) in enumerate(on):
        if used + quarter <= 8:
            used += quarter
            pods.append(there(str(number), priority, cpu=f"{quarter * 250}m"))
    wanted, nodes = pod("vip", cpu=f"{wants * 250}m", priority=2), [node("a")]
    info, snapshot = Shapes().info(wanted), Snapshot.of(nodes, {"a": pods})
    decision = schedule(info, snapshot)
    if decision.node:
        return
    outcome = outcome_of(info, snapshot)
    lower = {each["metadata"]["name"] for each in pods if each["spec"]["priority"] < 2}
    kept_by_right = sum(q for p, q in _sizes(pods) if p >= 2)
    assert bool(outcome.chosen) == (kept_by_right + wants <= 8)
    if outcome.chosen:
        names = {each.key.name for each in outcome.chosen.victims}
        assert names <= lower
        for spared in ("", *names):
            left = [each for each in pods if each["metadata"]["name"] not in names - {spared}]
            assert bool(schedule(info, Snapshot.of(nodes, {"a": left})).node) is not bool(spared)


def _sizes(pods: list[Object]) -> list[tuple[int, int]]:
    found = []
    for each in pods:
        milli = each["spec"]["containers"][0]["resources"]["requests"]["cpu"]
        found.append((each["spec"]["priority"], int(milli[:-1]) // 250))
    return found


def test_of_equal_candidates_the_first_is_taken() -> None:
    shapes = Shapes()
    pair = [Candidate(name, (shapes.info(there(name, 5)),), 0) for name in "ab"]
    assert choose(pair).node == "a"
