"""What a delete does, as a table of objects and options."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apiserver.registry.call import DeleteOptions
from apiserver.registry.deletion import check_preconditions, ends_with_update, plan
from machinery.api.errors import Conflict, Invalid
from machinery.api.resource import Object, Resource
from machinery.api.resources import CONFIG_MAPS, DEPLOYMENTS, JOBS, NAMESPACES, PODS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def obj(*, finalizers: list[str] | None = None, **parts: Object) -> Object:
    metadata: Object = {"name": "x", "uid": "u", "resourceVersion": "7", "generation": 1}
    if finalizers:
        metadata["finalizers"] = finalizers
    return {"metadata": metadata, **parts}


RUNNING = obj(spec={"nodeName": "n", "terminationGracePeriodSeconds": 20}, status={"phase": "Running"})


@pytest.mark.parametrize(
    ("resource", "there", "options", "is_removed", "grace", "finalizers"),
    [
        (CONFIG_MAPS, obj(), DeleteOptions(), True, None, []),
        (CONFIG_MAPS, obj(finalizers=["a/b"]), DeleteOptions(), False, 0, ["a/b"]),
        (DEPLOYMENTS, obj(), DeleteOptions(propagation_policy="Foreground"), False, 0, ["foregroundDeletion"]),
        (DEPLOYMENTS, obj(), DeleteOptions(propagation_policy="Orphan"), False, 0, ["orphan"]),
        (DEPLOYMENTS, obj(finalizers=["orphan"]), DeleteOptions(propagation_policy="Background"), True, None, []),
        (DEPLOYMENTS, obj(), DeleteOptions(orphan_dependents=True), False, 0, ["orphan"]),
        (JOBS, obj(), DeleteOptions(), False, 0, ["orphan"]),
        (PODS, RUNNING, DeleteOptions(), False, 20, []),
        (PODS, RUNNING, DeleteOptions(grace_period_seconds=5), False, 5, []),
        (PODS, RUNNING, DeleteOptions(grace_period_seconds=0), True, 0, []),
        (PODS, obj(spec={}, status={}), DeleteOptions(), True, 0, []),
        (PODS, obj(spec={"nodeName": "n"}, status={"phase": "Failed"}), DeleteOptions(), True, 0, []),
    ],
)
def test_a_delete_removes_or_marks(
    resource: Resource,
    there: Object,
    options: DeleteOptions,
    is_removed: bool,
    grace: int | None,
    finalizers: list[str],
) -> None:
    found = plan(there, options, resource, NOW)
    assert found is not None
    assert found.is_removed is is_removed
    assert found.is_marked_first is (is_removed and resource == PODS)
    assert found.marked["metadata"].get("deletionGracePeriodSeconds") == grace
    if not is_removed:
        assert found.marked["metadata"].get("finalizers", []) == finalizers


def test_a_second_delete_only_shortens_the_grace() -> None:
    first = plan(RUNNING, DeleteOptions(), PODS, NOW)
    assert first is not None
    assert plan(first.marked, DeleteOptions(), PODS, NOW) is None
    assert plan(first.marked, DeleteOptions(grace_period_seconds=60), PODS, NOW) is None
    shorter = plan(first.marked, DeleteOptions(grace_period_seconds=3), PODS, NOW)
    assert shorter is not None
    assert shorter.marked["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:03Z"
    last = plan(first.marked, DeleteOptions(grace_period_seconds=0), PODS, NOW)
    assert last is not None and last.is_removed and last.is_marked_first
    end = plan(last.marked, DeleteOptions(), PODS, NOW)
    assert end is not None and end.is_removed and not end.is_marked_first


def test_a_namespace_waits_for_its_finalizers() -> None:
    active = obj(spec={"finalizers": ["kubernetes"]}, status={"phase": "Active"})
    found = plan(active, DeleteOptions(), NAMESPACES, NOW)
    assert found is not None and not found.is_removed
    assert found.marked["status"]["phase"] == "Terminating"
    assert not ends_with_update(found.marked, found.marked, NAMESPACES)
    assert ends_with_update({**found.marked, "spec": {}}, found.marked, NAMESPACES)


@pytest.mark.parametrize("options", [DeleteOptions(uid="other"), DeleteOptions(resource_version="6")])
def test_another_object_is_not_deleted(options: DeleteOptions) -> None:
    with pytest.raises(Conflict):
        check_preconditions(obj(), options, CONFIG_MAPS)


def test_an_unknown_policy_is_refused_in_words() -> None:
    with pytest.raises(Invalid, match='Unsupported value: "Sideways"'):
        DeleteOptions.of({"propagationPolicy": "Sideways"})
