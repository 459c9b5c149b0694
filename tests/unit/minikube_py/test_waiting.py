"""Which pods `start --wait all` waits for, and which it gives up."""

from __future__ import annotations

from typing import Any

import pytest

from minikube_py.waiting import unfinished


def pod(phase: str = "Running", **status: Any) -> dict[str, Any]:
    metadata = {"namespace": "d", "name": "p", "uid": "1"}
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, **status}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": reason, "message": message}}}]}


READY: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "True"}]}
UNBOUND: dict[str, Any] = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]}


@pytest.mark.parametrize("done", [pod(**READY), pod("Succeeded")])
def test_who_is_ready_or_done_is_not_waited_for(done: dict[str, Any]) -> None:
    assert unfinished([done]) == []


def test_who_is_being_deleted_is_not_waited_for() -> None:
    leaving = pod()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert unfinished([leaving]) == []


@pytest.mark.parametrize(
    ("found", "why", "is_hopeless"),
    [
        (pod("Failed", message="The node was low on memory"), "The node was low on memory", True),
        (pod("Pending", **waiting("ErrImageNeverPull", "not present")), "c: ErrImageNeverPull: not present", True),
        (pod("Pending", **waiting("ImagePullBackOff")), "c: ImagePullBackOff", False),
        (pod("Running", **waiting("CrashLoopBackOff")), "c: CrashLoopBackOff", False),
        (pod("Pending", **waiting("ContainerCreating")), "Pending, not Ready", False),
        (pod("Pending", **UNBOUND), "no node", False),
    ],
)
def test_others_are_told_with_what_keeps_them(found: dict[str, Any], why: str, *, is_hopeless: bool) -> None:
    (waited,) = unfinished([found])
    assert (waited.why, waited.is_hopeless) == (why, is_hopeless)


def test_a_jobs_failed_pod_may_have_a_successor() -> None:
    failed = pod("Failed")
    failed["metadata"]["ownerReferences"] = [{"kind": "Job", "name": "j", "uid": "2"}]
    assert [each.is_hopeless for each in unfinished([failed])] == [False]
