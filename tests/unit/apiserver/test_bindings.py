"""A pod gets its node once: what a Binding changes, and what it is refused for."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

import pytest

from apiserver.registry.pods import bound
from machinery.api.canonical import canonical
from machinery.api.errors import Conflict, UnknownError
from machinery.api.resource import Object
from machinery.api.resources import PODS
from tests.unit.apiserver.pod_examples import pod

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def binding(target: Object | None = None, **metadata: object) -> Object:
    return {"metadata": {"name": "p", **metadata}, "target": target or {"kind": "Node", "name": "n"}}


def test_the_pod_gets_its_node_and_is_nominated_for_none_any_longer() -> None:
    old = pod(uid="u", resourceVersion="5", annotations={"a": "b"})
    old["status"] |= {"nominatedNodeName": "m", "conditions": [{"type": "PodScheduled", "status": "False"}]}
    changed = bound(binding(uid="u", resourceVersion="5", annotations={"a": "c"}, labels={"zone": "z"}), NOW)(old)
    assert changed["spec"] == {**old["spec"], "nodeName": "n"}
    assert changed["metadata"] == {**old["metadata"], "annotations": {"a": "c"}, "labels": {"zone": "z"}}
    since = {"lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    scheduled = {"type": "PodScheduled", "status": "True", **since}
    assert changed["status"] == {"phase": "Pending", "qosClass": "BestEffort", "conditions": [scheduled]}


KIND = 'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"'


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"kind": "Node"}, "target.name: Required value"),
        ({"kind": "Pod", "name": "n"}, KIND),
        ({"kind": "Pod"}, f"[{KIND}, target.name: Required value]"),
    ],
)
def test_targets_that_are_none(target: Object, message: str) -> None:
    with pytest.raises(UnknownError) as refused:
        bound(binding(target), NOW)
    assert refused.value.status() == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": 500,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "spec", "wanted", "on", "why"),
    [
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, {}, {}, "pods/binding",
         "pod p is being deleted, cannot be assigned to a host"),
        ({}, {"nodeName": "m"}, {}, "pods/binding", 'pod p is already assigned to node "m"'),
        ({}, {"schedulingGates": [{"name": "g"}]}, {}, "pods/binding", "pod p has non-empty .spec.schedulingGates"),
        ({}, {"nodeName": "m"}, {"uid": "v"}, "pods",
         "Precondition failed: UID in precondition: v, UID in object meta: u"),
        ({}, {}, {"resourceVersion": "4"}, "pods",
         "Precondition failed: ResourceVersion in precondition: 4, ResourceVersion in object meta: 5"),
    ],
)  # fmt: skip
def test_pods_that_get_none(metadata: Object, spec: Object, wanted: Object, on: str, why: str) -> None:
    old = pod(spec, uid="u", resourceVersion="5", **metadata)
    with pytest.raises(Conflict) as refused:
        bound(binding(**wanted), NOW)(old)
    assert refused.value.message == f'Operation cannot be fulfilled on {on} "p": {why}'


def test_what_is_stored_of_a_bound_pod_is_canonical() -> None:
    old = canonical(pod(uid="u"), PODS)
    changed = bound(binding(), NOW)(old)
    assert canonical(copy.deepcopy(changed), PODS) == changed
