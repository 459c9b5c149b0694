"""StatefulSets as tables: what is done next about which pod, what is told, whose the claims are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from controllers.history import History, patch_of
from controllers.plan import Action, Create, Delete, Patch, Record, Update, UpdateStatus, owner_reference
from controllers.statefulset import State, plan
from controllers.statefulset_claims import new_claim, owned_anew
from controllers.statefulset_pods import ordinal_of
from machinery.api.errors import AlreadyExists, Forbidden
from machinery.api.resource import Object
from machinery.api.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from machinery.api.views import ControllerRevision, Pod, StatefulSet, View

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NEW, OLD = (
    {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    for image in ("new", "old")
)
DATA = {"metadata": {"name": "data", "labels": {"tier": "db"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}


def stateful_set(replicas: int = 3, *, status: Object | None = None, **spec: Any) -> StatefulSet:
    wanted = {
        "replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": NEW, "serviceName": "svc", **spec,
    }  # fmt: skip
    metadata = {"name": "s", "namespace": "n", "uid": "s", "generation": 2}
    return StatefulSet({"metadata": metadata, "spec": wanted, "status": {"currentRevision": "s-old", **(status or {})}})


def pod(ordinal: int, state: str = "ready", revision: str = "s-new", **metadata: Any) -> Pod:
    """`state`: ready, running, pending, Failed, Succeeded; `-` before it means that it is being deleted."""
    name, is_going, state = f"s-{ordinal}", state.startswith("-"), state.removeprefix("-")
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": "s", "controller": True}
    labels = {"a": "b", "controller-revision-hash": revision, "statefulset.kubernetes.io/pod-name": name}
    made = {"name": name, "namespace": "n", "uid": name, "labels": labels, "ownerReferences": [owner], **metadata}
    if is_going:
        made["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    phase = {"ready": "Running", "running": "Running", "pending": "Pending"}.get(state, state)
    ready = {"type": "Ready", "status": "True" if state == "ready" else "False"}
    since = {**ready, "lastTransitionTime": "2025-12-31T23:59:50Z"}
    return Pod({"metadata": made, "spec": {"volumes": []}, "status": {"phase": phase, "conditions": [since]}})


def revision(name: str, number: int, template: Object) -> ControllerRevision:
    metadata = {"name": name, "namespace": "n", "uid": name, "creationTimestamp": name, "labels": {"a": "b"}}
    return ControllerRevision({"metadata": metadata, "revision": number, "data": patch_of(template)})


HISTORY = History((revision("s-old", 1, OLD), revision("s-new", 2, NEW)), name="s-new", collisions=0)


def planned(owner: StatefulSet, pods: Iterable[Pod], *, feature: bool = False, **state: Any) -> list[Action]:
    found = State(owner, tuple(pods), **{"history": HISTORY, **state})
    return list(plan(found, NOW, several_unavailable=feature).actions)


def moves(actions: Iterable[Action]) -> list[str]:
    """What is done about pods: `+s-0` made, `-s-0` deleted, `~s-0` changed."""
    found = []
    for action in actions:
        if isinstance(action, Create) and action.resource == PODS:
            found.append(f"+{action.obj['metadata']['name']}")
        elif isinstance(action, Delete) and action.resource == PODS:
            found.append(f"-{action.key.name}")
        elif isinstance(action, Update) and action.resource == PODS:
            found.append(f"~{action.obj['metadata']['name']}")
    return found


def told(actions: Iterable[Action]) -> list[tuple[str, str, str]]:
    """All Events: those by themselves, and those of what succeeds."""
    events = [action.success if isinstance(action, Create | Delete) else action for action in actions]
    return [(each.type, each.reason, each.message) for each in events if isinstance(each, Record)]


def status_of(actions: Iterable[Action]) -> Object:
    (found,) = [action for action in actions if isinstance(action, UpdateStatus)]
    return dict(found.obj["status"])


@pytest.mark.parametrize(
    ("management", "pods", "expected"),
    [
        ("OrderedReady", [], ["+s-0"]),
        ("OrderedReady", [pod(0)], ["+s-1"]),
        ("OrderedReady", [pod(0, "running")], []),
        ("OrderedReady", [pod(0, "pending")], []),
        ("OrderedReady", [pod(0), pod(2)], ["+s-1"]),
        ("OrderedReady", [pod(0, "-ready"), pod(1)], []),
        # What has ended goes, and its successor comes once it is gone.
        ("OrderedReady", [pod(0, "Failed"), pod(1)], ["-s-0"]),
        ("OrderedReady", [pod(0, "Succeeded"), pod(1)], ["-s-0"]),
        ("OrderedReady", [pod(0, "-Failed"), pod(1)], []),
        # Beyond the replicas the highest goes first, once all below are up.
        ("OrderedReady", [pod(0), pod(1), pod(2), pod(3), pod(4)], ["-s-4"]),
        ("OrderedReady", [pod(0), pod(1), pod(2), pod(3), pod(4, "-ready")], []),
        ("OrderedReady", [pod(0), pod(1), pod(2, "running"), pod(3)], []),
        # Of those that go, the lowest that is not up may go itself, and holds up those above it.
        ("OrderedReady", [pod(0), pod(1), pod(2), pod(3), pod(4, "running")], ["-s-4"]),
        ("OrderedReady", [pod(0), pod(1), pod(2), pod(3, "running"), pod(4, "running")], []),
        ("OrderedReady", [pod(0), pod(1), pod(2), pod(3, "running"), pod(4)], ["-s-4"]),
        ("Parallel", [], ["+s-0", "+s-1", "+s-2"]),
        ("Parallel", [pod(1, "pending")], ["+s-0", "+s-2"]),
        ("Parallel", [pod(0, "Failed"), pod(1), pod(2)], ["-s-0"]),
        ("Parallel", [pod(0), pod(3), pod(4)], ["+s-1", "+s-2", "-s-4", "-s-3"]),
    ],
)
def test_what_is_next(management: str, pods: list[Pod], expected: list[str]) -> None:
    assert moves(planned(stateful_set(podManagementPolicy=management), pods)) == expected


@pytest.mark.parametrize(
    ("strategy", "pods", "expected"),
    [
        ({}, "ooo", ["-s-2"]),
        ({}, "oon", ["-s-1"]),
        ({"rollingUpdate": {"partition": 2}}, "ooo", ["-s-2"]),
        ({"rollingUpdate": {"partition": 2}}, "oon", []),
        ({"rollingUpdate": {"partition": 9}}, "ooo", []),
        ({"type": "OnDelete"}, "ooo", []),
        # Below the partition a pod comes back as it was, above it as it will be.
        ({"rollingUpdate": {"partition": 2}}, "o.n", ["+s-1 s-old"]),
        ({"rollingUpdate": {"partition": 1}}, "o.n", ["+s-1 s-new"]),
        ({"type": "OnDelete"}, "o.o", ["+s-1 s-new"]),
    ],
)
def test_a_rollout_goes_down_to_the_partition(strategy: Object, pods: str, expected: list[str]) -> None:
    """`pods`: o old, n new, . missing."""
    names = {"o": "s-old", "n": "s-new"}
    there = [pod(at, revision=names[kind]) for at, kind in enumerate(pods) if kind != "."]
    actions = planned(stateful_set(updateStrategy={"type": "RollingUpdate", **strategy}), there)
    made = {
        f"+{a.obj['metadata']['name']}": a.obj["metadata"]["labels"]["controller-revision-hash"]
        for a in actions
        if isinstance(a, Create) and a.resource == PODS
    }
    assert [f"{move} {made[move]}" if move in made else move for move in moves(actions)] == expected


def test_a_rollout_waits_for_the_pod_before_but_not_for_one_that_is_broken_and_old() -> None:
    owner = stateful_set(podManagementPolicy="Parallel")
    assert moves(planned(owner, [pod(0, revision="s-old"), pod(1, revision="s-old"), pod(2, "running")])) == []
    broken = [pod(0, revision="s-old"), pod(1, revision="s-old"), pod(2, "running", "s-old")]
    assert moves(planned(owner, broken)) == ["-s-2"]


@pytest.mark.parametrize(
    ("management", "least", "pods", "expected"),
    [
        # (minReadySeconds, where pods have been ready for 10; which go)
        ("Parallel", 10, [pod(0, revision="s-old"), pod(1, revision="s-old"), pod(2)], ["-s-1"]),
        ("Parallel", 11, [pod(0, revision="s-old"), pod(1, revision="s-old"), pod(2)], []),
        ("Parallel", 11, [pod(0, revision="s-old"), pod(1, revision="s-old"), pod(2, revision="s-old")], ["-s-2"]),
        # What is to go anyway is not waited for until it is available.
        ("OrderedReady", 11, [pod(3)], ["-s-3"]),
        ("OrderedReady", 11, [pod(3), pod(4)], []),
    ],
)
def test_a_pod_is_up_once_it_has_been_ready_for_long_enough(
    management: str, least: int, pods: list[Pod], expected: list[str]
) -> None:
    owner = stateful_set(3 if management == "Parallel" else 0, podManagementPolicy=management, minReadySeconds=least)
    assert moves(planned(owner, pods)) == expected


@pytest.mark.parametrize(
    ("management", "most", "states", "expected"),
    [
        # (maxUnavailable; the state of the old pods s-0 to s-3; which go)
        ("OrderedReady", 2, ["ready", "ready", "ready", "ready"], ["-s-3", "-s-2"]),
        ("OrderedReady", "50%", ["ready", "ready", "ready", "-ready"], []),
        ("OrderedReady", "10%", ["ready", "ready", "ready", "ready"], ["-s-3"]),
        ("Parallel", 2, ["ready", "ready", "ready", "-ready"], ["-s-2"]),
        ("Parallel", 2, ["running", "ready", "ready", "ready"], ["-s-0", "-s-3"]),
        ("Parallel", 1, ["running", "running", "ready", "ready"], ["-s-1", "-s-0"]),
    ],
)
def test_several_may_be_unavailable_where_the_feature_is_on(
    management: str, most: int | str, states: list[str], expected: list[str]
) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most}}
    owner = stateful_set(4, podManagementPolicy=management, updateStrategy=rolling)
    pods = [pod(at, state, "s-old") for at, state in enumerate(states)]
    assert moves(planned(owner, pods, feature=True)) == expected


def test_ordinals_may_start_anywhere() -> None:
    owner = stateful_set(2, ordinals={"start": 5})
    assert moves(planned(owner, [])) == ["+s-5"]
    assert moves(planned(owner, [pod(5), pod(6), pod(0), pod(7)])) == ["-s-7"]
    assert moves(planned(owner, [pod(5), pod(6), pod(0)])) == ["-s-0"]


def test_a_pod_must_have_been_ready_for_a_while_before_the_next_comes() -> None:
    assert moves(planned(stateful_set(minReadySeconds=10), [pod(0)])) == ["+s-1"]
    state = State(stateful_set(minReadySeconds=11), (pod(0),), history=HISTORY)
    waiting = plan(state, NOW)
    assert (moves(waiting.actions), waiting.requeue_after) == ([], 11)
    status = status_of(waiting.actions)
    assert (status["readyReplicas"], status["availableReplicas"]) == (1, 0)


def test_a_pod_has_its_name_its_host_name_and_its_labels() -> None:
    (made,) = [a.obj for a in planned(stateful_set(), []) if isinstance(a, Create)]
    assert made["metadata"]["generateName"] == "s-"
    assert made["metadata"]["labels"] == {
        "a": "b",
        "controller-revision-hash": "s-new",
        "statefulset.kubernetes.io/pod-name": "s-0",
        "apps.kubernetes.io/pod-index": "0",
    }
    assert (made["spec"]["hostname"], made["spec"]["subdomain"]) == ("s-0", "svc")


def test_a_pod_that_lost_its_name_gets_it_back() -> None:
    lost = pod(0)
    lost.obj["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = "other"
    actions = planned(stateful_set(1), [lost])
    assert moves(actions) == ["~s-0"]
    (update,) = [a for a in actions if isinstance(a, Update)]
    assert update.obj["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "s-0"
    assert told(actions) == [("Normal", "SuccessfulUpdate", "Update Pod s-0 in StatefulSet s successful")]


def test_only_its_status_is_told_of_a_set_that_goes() -> None:
    owner = stateful_set()
    owner.obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert [type(action) for action in planned(owner, [pod(0, "Failed")])] == [UpdateStatus]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("s-0", 0), ("s-12", 12), ("s-x", None), ("t-0", None), ("s", None), ("s-1-2", None), ("s-99999999999", None)],
)
def test_an_ordinal_is_read_from_the_name(name: str, expected: int | None) -> None:
    assert ordinal_of(stateful_set(), name) == expected


@pytest.mark.parametrize(
    ("before", "pods", "expected"),
    [
        ({}, [], {"replicas": 0, "availableReplicas": 0}),
        ({}, [pod(0), pod(1, "running")], {"replicas": 2, "readyReplicas": 1, "availableReplicas": 1,
                                           "updatedReplicas": 2}),
        # What goes counts no more for its revision, but is still there.
        ({}, [pod(0, revision="s-old"), pod(1, revision="s-old"), pod(2, "-ready")],
         {"replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "currentReplicas": 2}),
        # A pod deleted for the new template counts no more at once.
        ({}, [pod(at, revision="s-old") for at in range(3)],
         {"replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "currentReplicas": 2}),
        # Once all are new and ready, the new revision is the current one.
        ({}, [pod(0), pod(1), pod(2)], {"replicas": 3, "readyReplicas": 3, "availableReplicas": 3,
                                        "currentReplicas": 3, "updatedReplicas": 3, "currentRevision": "s-new"}),
    ],
)  # fmt: skip
def test_the_status(before: Object, pods: list[Pod], expected: Object) -> None:
    always = {"currentRevision": "s-old", "updateRevision": "s-new", "collisionCount": 0, "observedGeneration": 2}
    assert status_of(planned(stateful_set(status=before), pods)) == {**always, **expected}


def test_nothing_is_written_where_nothing_changes() -> None:
    pods = [pod(0), pod(1), pod(2)]
    owner = stateful_set()
    owner.obj["status"] = status_of(planned(owner, pods))
    assert planned(owner, pods) == []


def test_each_step_is_told() -> None:
    assert told(planned(stateful_set(), [])) == [
        ("Normal", "SuccessfulCreate", "Create Pod s-0 in StatefulSet s successful")
    ]
    assert told(planned(stateful_set(0), [pod(0)])) == [
        ("Normal", "SuccessfulDelete", "Delete Pod s-0 in StatefulSet s successful")
    ]


def claim(name: str, **metadata: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "n", "uid": name, **metadata}, "spec": {}}


def with_claims(owner: StatefulSet, pods: list[Pod], claims: Mapping[str, Object]) -> list[Action]:
    return planned(owner, pods, claims=claims)


def test_claims_are_made_before_their_pod_and_named_after_it() -> None:
    actions = with_claims(stateful_set(1, volumeClaimTemplates=[DATA]), [], {})
    made = [action for action in actions if isinstance(action, Create)]
    assert [action.resource for action in made] == [PERSISTENT_VOLUME_CLAIMS, PODS]
    assert made[0].obj["metadata"] == {"name": "data-s-0", "namespace": "n", "labels": {"tier": "db", "a": "b"}}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data-s-0"}}]
    assert made[1].obj["spec"]["volumes"] == volumes
    assert told(actions)[0] == (
        "Normal", "SuccessfulCreate", "Create Claim data-s-0 Pod s-0 in StatefulSet s success",
    )  # fmt: skip


def test_a_claim_that_is_there_is_taken_again_and_a_lost_one_made_anew_while_its_pod_waits() -> None:
    owner = stateful_set(1, volumeClaimTemplates=[DATA])
    assert [a.resource for a in with_claims(owner, [], {"data-s-0": claim("data-s-0")}) if isinstance(a, Create)] == [
        PODS
    ]
    mounted = {"name": "data", "persistentVolumeClaim": {"claimName": "data-s-0"}}
    waiting, running = pod(0, "pending"), pod(0)
    for each in (waiting, running):
        each.obj["spec"]["volumes"] = [mounted]
    assert [a.resource for a in with_claims(owner, [waiting], {}) if isinstance(a, Create)] == [
        PERSISTENT_VOLUME_CLAIMS
    ]
    assert not [a for a in with_claims(owner, [running], {}) if isinstance(a, Create)]


def test_a_pod_waits_for_the_claims_of_its_predecessor_to_go() -> None:
    policy = {"whenScaled": "Delete"}
    owner = stateful_set(1, volumeClaimTemplates=[DATA], persistentVolumeClaimRetentionPolicy=policy)
    earlier = {"apiVersion": "v1", "kind": "Pod", "name": "s-0", "uid": "earlier", "controller": True}
    stale = claim("data-s-0", ownerReferences=[earlier])
    assert moves(with_claims(owner, [], {"data-s-0": stale})) == []
    going = claim("data-s-0", deletionTimestamp="2026-01-01T00:00:00Z")
    actions = with_claims(owner, [], {"data-s-0": going})
    assert moves(actions) == []
    said = "Create Pod s-0 in StatefulSet s failed error: pvc data-s-0 is being deleted"
    assert told(actions) == [("Warning", "FailedCreate", said)]


SET = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": "s"}
POD = {"apiVersion": "v1", "kind": "Pod", "name": "s-0", "uid": "s-0"}
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c"}
LEADS = {"controller": True, "blockOwnerDeletion": True}


@pytest.mark.parametrize(
    ("deleted", "scaled", "replicas", "before", "after"),
    [
        # (policy; replicas, of which s-0 is one or not; owners before and after, None where nothing changes)
        ("Retain", "Retain", 1, [], None),
        ("Retain", "Retain", 1, [{**SET, **LEADS}], []),
        ("Retain", "Retain", 0, [{**POD, **LEADS}], []),
        ("Retain", "Retain", 1, [{**OTHER, **LEADS}], None),
        ("Delete", "Retain", 1, [], [{**SET, **LEADS}]),
        ("Delete", "Retain", 1, [{**SET, **LEADS}], None),
        ("Delete", "Retain", 1, [SET], [{**SET, **LEADS}]),
        ("Delete", "Retain", 0, [], [{**SET, **LEADS}]),
        ("Retain", "Delete", 1, [], None),
        ("Retain", "Delete", 1, [{**POD, **LEADS}], []),
        ("Retain", "Delete", 0, [], [{**POD, **LEADS}]),
        ("Delete", "Delete", 1, [{**POD, **LEADS}], [{**SET, **LEADS}]),
        ("Delete", "Delete", 0, [{**SET, **LEADS}], [{**POD, **LEADS}]),
        # Others' references stay; where another controls the claim the policy has no say.
        ("Delete", "Retain", 1, [OTHER], [OTHER, {**SET, **LEADS}]),
        ("Delete", "Retain", 1, [{**OTHER, **LEADS}], None),
        ("Delete", "Retain", 1, [{**OTHER, **LEADS}, SET], [{**OTHER, **LEADS}]),
        # What belongs to an earlier set or pod goes with that.
        ("Delete", "Delete", 1, [{**SET, **LEADS, "uid": "earlier"}], None),
        ("Delete", "Delete", 1, [{**POD, **LEADS, "uid": "earlier"}], None),
    ],
)
def test_whose_a_claim_is(
    deleted: str, scaled: str, replicas: int, before: list[Object], after: list[Object] | None
) -> None:
    policy = {"whenDeleted": deleted, "whenScaled": scaled}
    owner = stateful_set(replicas, persistentVolumeClaimRetentionPolicy=policy)
    owned = claim("data-s-0", **({"ownerReferences": before} if before else {}))
    changed = owned_anew(owner, pod(0), 0, View(owned))
    found = None if changed is None else changed["metadata"].get("ownerReferences", [])
    assert found == after


def test_a_new_claim_is_the_set_s_where_it_goes_with_it() -> None:
    owner = stateful_set(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"})
    made = new_claim(owner, DATA, 0)
    assert made["metadata"]["ownerReferences"] == [owner_reference(STATEFUL_SETS, owner.obj)]


def test_orphans_are_adopted_and_what_no_longer_matches_is_released_before_anything_else() -> None:
    orphan, strange = pod(0), pod(1)
    orphan.obj["metadata"].pop("ownerReferences")
    strange.obj["metadata"]["labels"] = {"a": "other"}
    actions = planned(stateful_set(), [strange], orphans=(orphan,))
    assert [type(action) for action in actions] == [Patch, Patch]
    owners = [
        [ref["uid"] for ref in action.patch["metadata"]["ownerReferences"] or ()]
        for action in actions
        if isinstance(action, Patch)
    ]
    assert owners == [["s"], []]


def test_the_first_revision_is_made_in_the_pass_that_makes_the_first_pod() -> None:
    actions = planned(stateful_set(), [], history=History(name="s-xyz", collisions=3))
    made = [action for action in actions if isinstance(action, Create)]
    assert [action.resource for action in made] == [CONTROLLER_REVISIONS, PODS]
    assert made[0].obj["metadata"]["labels"] == {"a": "b", "controller.kubernetes.io/hash": "xyz"}
    assert (made[0].obj["revision"], made[0].obj["data"]) == (1, patch_of(NEW))
    status = status_of(actions)
    assert (status["collisionCount"], status["updateRevision"], status["currentRevision"]) == (3, "s-xyz", "s-xyz")


def test_a_template_that_comes_back_takes_its_revision_to_the_end() -> None:
    history = History((revision("s-new", 1, NEW), revision("s-old", 2, OLD)), name="s-new", collisions=0)
    (update,) = [a for a in planned(stateful_set(), [pod(0)], history=history) if isinstance(a, Update)]
    assert (update.obj["metadata"]["name"], update.obj["revision"]) == ("s-new", 3)


@pytest.mark.parametrize(("limit", "forgotten"), [(1, ["s-3"]), (0, ["s-3", "s-4"]), (2, []), (-1, [])])
def test_revisions_beyond_the_limit_are_forgotten_but_not_those_of_pods(limit: int, forgotten: list[str]) -> None:
    old = [revision(f"s-{number}", number, {**OLD, "kind": number}) for number in range(1, 5)]
    history = History((*old, revision("s-new", 9, NEW)), name="s-new", collisions=0)
    owner = stateful_set(2, revisionHistoryLimit=limit, status={"currentRevision": "s-2"})
    actions = planned(owner, [pod(0, revision="s-1"), pod(1)], history=history)
    gone = [a.key.name for a in actions if isinstance(a, Delete) and a.resource == CONTROLLER_REVISIONS]
    assert gone == forgotten


def test_what_fails_is_told_with_the_status() -> None:
    made = plan(State(stateful_set(1, volumeClaimTemplates=[DATA]), (), history=HISTORY), NOW)
    creates = [action for action in made.actions if isinstance(action, Create)]
    after_claim = made.on_failure(creates[0], Forbidden("exceeded quota"))
    assert [message for _, _, message in told(after_claim)] == [
        "Create Claim data-s-0 for Pod s-0 in StatefulSet s failed error: exceeded quota",
        "Create Pod s-0 in StatefulSet s failed error: failed to create PVC data-s-0: exceeded quota",
    ]
    after_pod = made.on_failure(creates[1], Forbidden("exceeded quota"))
    said = "Create Pod s-0 in StatefulSet s failed error: exceeded quota"
    assert told(after_pod) == [("Warning", "FailedCreate", said)]
    assert status_of(after_pod)["observedGeneration"] == 2
    assert told(made.on_failure(creates[1], AlreadyExists("there"))) == []
