"""Disruption budgets: what is counted, what may go, and what is said where it can't be known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.registry.pods import budgets_for, spent
from controllers import stale_disruption
from controllers.disruption import DISRUPTION, Scale, State, plan
from controllers.plan import Action, Key, Patch, Plan, Record, UpdateStatus
from machinery.api.disruption import PodDisruptionBudget
from machinery.api.errors import Forbidden, StatusError, TooManyRequests
from machinery.api.resource import Object
from machinery.api.resources import POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Pod
from tests.mortal_controller import House, Mortal, served

NOW = datetime(2026, 1, 1, tzinfo=UTC)
THEN = rfc3339(NOW)
READY = {"type": "Ready", "status": "True", "lastTransitionTime": THEN}


def pod(name: str, *, ready: bool = True, owner: str = "r", deleted: bool = False, kind: str = "ReplicaSet") -> Pod:
    metadata: Object = {"name": name, "namespace": "n", "uid": name, "labels": {"app": "x"}}
    if owner:
        metadata["ownerReferences"] = [{"kind": kind, "name": owner, "uid": owner, "controller": True}]
    if deleted:
        metadata["deletionTimestamp"] = THEN
    status = {"phase": "Running", "conditions": [READY] if ready else []}
    return Pod({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def budget(status: Object | None = None, **spec: Any) -> PodDisruptionBudget:
    whole = {"selector": {"matchLabels": {"app": "x"}}, **spec}
    metadata = {"name": "b", "namespace": "n", "uid": "b", "generation": 1}
    obj = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": whole}
    return PodDisruptionBudget({**obj, "status": status} if status else obj)


def decided(found: PodDisruptionBudget, *pods: Pod, scales: Sequence[Scale] = (Scale("r", 4),)) -> Sequence[Action]:
    return plan(State(found, pods, {each.uid: each for each in scales}), NOW).actions


def numbers(actions: Sequence[Action]) -> tuple[int, int, int, int]:
    """(allowed, healthy, desired, expected)."""
    (update,) = (each for each in actions if isinstance(each, UpdateStatus))
    status = update.obj["status"]
    return tuple(status[key] for key in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"))  # type: ignore[return-value]


FOUR = [pod(name) for name in "abcd"]


@pytest.mark.parametrize(
    ("spec", "pods", "expected"),
    [
        ({"minAvailable": 3}, FOUR, (1, 4, 3, 4)),
        ({"minAvailable": 9}, FOUR, (0, 4, 9, 4)),
        ({"minAvailable": 0}, FOUR, (4, 4, 0, 4)),
        ({"minAvailable": "50%"}, FOUR, (2, 4, 2, 4)),
        ({"minAvailable": "51%"}, FOUR, (1, 4, 3, 4)),
        ({"maxUnavailable": 1}, FOUR, (1, 4, 3, 4)),
        ({"maxUnavailable": "25%"}, FOUR, (1, 4, 3, 4)),
        ({"maxUnavailable": "26%"}, FOUR, (2, 4, 2, 4)),
        ({"maxUnavailable": 9}, FOUR, (4, 4, 0, 4)),
        ({"maxUnavailable": 1}, FOUR[:3], (0, 3, 3, 4)),
        ({"maxUnavailable": 1}, [*FOUR[:3], pod("d", ready=False)], (0, 3, 3, 4)),
        ({"minAvailable": 2}, [*FOUR[:3], pod("d", deleted=True)], (1, 3, 2, 4)),
        ({"minAvailable": 0}, [], (0, 0, 0, 0)),
        ({}, FOUR, (4, 4, 0, 4)),
    ],
)
def test_what_may_go(spec: Object, pods: Sequence[Pod], expected: tuple[int, int, int, int]) -> None:
    assert numbers(decided(budget(**spec), *pods)) == expected


def test_the_condition_says_whether_any_may() -> None:
    for least, said in ((3, ("True", "SufficientPods")), (4, ("False", "InsufficientPods"))):
        (update,) = decided(budget(minAvailable=least), *FOUR)
        assert isinstance(update, UpdateStatus)
        (condition,) = update.obj["status"]["conditions"]
        assert (condition["status"], condition["reason"], condition["observedGeneration"]) == (*said, 1)


def test_what_is_as_it_was_is_not_written() -> None:
    (update,) = decided(budget(minAvailable=3), *FOUR)
    assert isinstance(update, UpdateStatus)
    assert not decided(PodDisruptionBudget(update.obj), *FOUR)


def disrupted(**ago: int) -> Object:
    return {"disruptedPods": {name: rfc3339(NOW - timedelta(seconds=seconds)) for name, seconds in ago.items()}}


def test_a_pod_that_is_about_to_go_counts_no_more() -> None:
    found = budget(disrupted(a=10, gone=10), minAvailable=3)
    decision = plan(State(found, FOUR), NOW)
    assert numbers(decision.actions) == (0, 3, 3, 4)
    (update,) = decision.actions
    assert isinstance(update, UpdateStatus)
    assert list(update.obj["status"]["disruptedPods"]) == ["a"]
    assert decision.requeue_after == 111


def test_a_pod_that_has_not_gone_counts_again_and_says_so() -> None:
    actions = decided(budget(disrupted(a=121), minAvailable=3), *FOUR)
    assert numbers(actions) == (1, 4, 3, 4)
    (event,) = (each for each in actions if isinstance(each, Record))
    assert (event.reason, event.message) == (
        "NotDeleted",
        "Pod was expected by PDB n/n to be deleted but it wasn't",
    )


def events(actions: Sequence[Action]) -> list[tuple[str, str]]:
    return [(each.reason, each.message) for each in actions if isinstance(each, Record)]


def test_pods_without_an_owner_have_no_wanted_number() -> None:
    actions = decided(budget(maxUnavailable=1), *FOUR[:3], pod("lonely", owner=""))
    assert events(actions)[0][0] == "UnmanagedPods"
    assert "(selector: &LabelSelector{MatchLabels:map[string]string{app: x,},MatchExpressions:[]LabelSelectorRequirement{},})" in events(actions)[0][1]  # fmt: skip # noqa: E501
    assert not events(decided(budget(minAvailable=1), pod("lonely", owner="")))


@pytest.mark.parametrize(
    ("pods", "scales", "why"),
    [
        ([pod("p", owner="gone")], [], 'found no controllers for pod "p"'),
        (
            [pod("p", owner="j", kind="Job")],
            [Scale("j", problem="jobs.batch does not implement the scale subresource")],
            "jobs.batch does not implement the scale subresource",
        ),
    ],
)
def test_what_can_not_be_counted_lets_nothing_go(pods: list[Pod], scales: list[Scale], why: str) -> None:
    actions = decided(budget({"disruptionsAllowed": 3}, maxUnavailable=1), *pods, scales=scales)
    assert events(actions) == [
        ("CalculateExpectedPodCountFailed", f"Failed to calculate the number of expected pods: {why}")
    ]
    (update,) = (each for each in actions if isinstance(each, UpdateStatus))
    (condition,) = update.obj["status"]["conditions"]
    assert update.obj["status"]["disruptionsAllowed"] == 0
    assert (condition["reason"], condition["message"]) == ("SyncFailed", why)


def refusal(found: PodDisruptionBudget) -> StatusError:
    with pytest.raises(StatusError) as caught:
        spent("p", NOW)(found.obj)
    return caught.value


COUNTED = {"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2}


@pytest.mark.parametrize(
    ("status", "why", "later"),
    [
        ({}, "The disruption budget b is still being processed by the server.", 10),
        (
            {**COUNTED, "disruptionsAllowed": 0},
            "The disruption budget b needs 2 healthy pods and has 2 currently",
            0,
        ),
        (
            {
                **COUNTED,
                "conditions": [
                    {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "alas"}
                ],
            },
            "The disruption budget b does not allow evicting pods currently because it failed sync: alas",
            0,
        ),
    ],
)
def test_an_eviction_is_refused_with_its_cause(status: Object, why: str, later: int) -> None:
    error = refusal(budget(status))
    assert isinstance(error, TooManyRequests)
    assert error.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert [(cause.reason, cause.message) for cause in error.causes] == [("DisruptionBudget", why)]
    assert error.retry_after == later


def test_a_broken_budget_forbids() -> None:
    assert isinstance(refusal(budget({**COUNTED, "disruptionsAllowed": -1})), Forbidden)
    many = {str(number): THEN for number in range(2001)}
    assert isinstance(refusal(budget({**COUNTED, "disruptionsAllowed": 1, "disruptedPods": many})), Forbidden)


@pytest.mark.parametrize(
    ("status", "policy", "is_needed"),
    [
        ({"currentHealthy": 2, "desiredHealthy": 2}, "IfHealthyBudget", False),
        ({"currentHealthy": 1, "desiredHealthy": 2}, "IfHealthyBudget", True),
        ({"currentHealthy": 1, "desiredHealthy": 2}, "AlwaysAllow", False),
        ({"currentHealthy": 0, "desiredHealthy": 0}, "IfHealthyBudget", True),
    ],
)
def test_a_pod_that_is_not_ready_may_need_no_budget(status: Object, policy: str, is_needed: bool) -> None:
    found = budget(status, unhealthyPodEvictionPolicy=policy).obj
    assert bool(budgets_for(pod("p", ready=False).obj, [found])) == is_needed


@pytest.mark.parametrize("is_ready", [True, False])
def test_of_several_budgets_none_is_left_out(is_ready: bool) -> None:  # noqa: FBT001
    found = budget({"currentHealthy": 2, "desiredHealthy": 2}).obj
    assert budgets_for(pod("p", ready=is_ready).obj, [found, found]) == [found, found]


def test_a_pod_that_was_to_go_and_stays_is_no_target_any_more() -> None:
    since = NOW - timedelta(seconds=100)
    condition = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": rfc3339(since), "reason": "x"}
    found = pod("p")
    found.obj["status"]["conditions"].append(condition)
    state = stale_disruption.State(found)
    assert stale_disruption.plan(state, NOW).requeue_after == 20
    (patch,) = stale_disruption.plan(state, NOW + timedelta(seconds=20)).actions
    assert isinstance(patch, Patch)
    assert [each["status"] for each in patch.patch["status"]["conditions"]] == ["True", "False"]
    assert "reason" not in patch.patch["status"]["conditions"][1]


def test_what_a_kubelet_said_of_a_pod_stays() -> None:
    found = pod("p")
    said = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
    found.obj["status"]["conditions"].append({**said, "lastTransitionTime": "2025-01-01T00:00:00Z"})
    assert stale_disruption.plan(stale_disruption.State(found), NOW) == Plan()


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with served() as found:
        yield found


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_never_fewer_than_the_budget_says(house: House, data: st.DataObject) -> None:
    house.run(_never_fewer(house, data))


async def _never_fewer(house: House, data: st.DataObject) -> None:
    """Evictions at any moment, a controller that dies at any: as many ready pods as there have to be stay."""
    client, namespace = house.client, await house.namespace()
    total, least = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 4))
    for number in range(total):
        made = {"metadata": {"name": f"p{number}", "labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}  # fmt: skip # noqa: E501
        await client.create(PODS, made, namespace)
        status = {"phase": "Running", "conditions": [READY]}
        await client.patch(PODS, f"p{number}", {"status": status}, namespace, subresource="status")
    wanted = {"metadata": {"name": "b"}, "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "x"}}}}
    await client.create(POD_DISRUPTION_BUDGETS, wanted, namespace)
    controller, key = Mortal(house.server, DISRUPTION), Key(namespace, "b")
    for _ in range(data.draw(st.integers(1, 10))):
        if data.draw(st.booleans()):
            await controller.look(key, data.draw(st.integers(0, 2)))
            continue
        name = data.draw(st.sampled_from([f"p{number}" for number in range(total)]))
        try:
            await client.create(PODS, {"metadata": {"name": name}}, namespace, name=name, subresource="eviction")
        except StatusError as error:
            assert error.code in (404, 429)
        left = [each for each in house.server.cache.list(PODS, namespace) if not each["metadata"].get("deletionTimestamp")]  # fmt: skip # noqa: E501
        assert len(left) >= min(least, total)
    await controller.at_rest(key)


def test_the_owners_are_asked_by_uid() -> None:
    from tests.endpoint_world import World

    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "namespace": "n", "uid": "r"}}
    world = World(
        (REPLICA_SETS, {**owner, "spec": {"replicas": 7}}),
        (POD_DISRUPTION_BUDGETS, budget().obj),
        *((PODS, each.obj) for each in FOUR),
    )
    assert DISRUPTION.observe(world, Key("n", "b")).scales == {"r": Scale("r", 7)}
