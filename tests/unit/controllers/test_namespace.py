"""Namespaces that end: what goes when, and what is told of what is left."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controllers.namespace import State, plan
from controllers.plan import Delete, Finalize, UpdateStatus
from machinery.api.resource import Object, Resource
from machinery.api.resources import CONFIG_MAPS, DEPLOYMENTS, PODS
from machinery.api.timestamps import rfc3339
from machinery.api.views import Namespace, View

NOW = datetime(2026, 1, 1, tzinfo=UTC)
THEN = rfc3339(NOW)
NOTHING_LEFT = [
    ("NamespaceDeletionDiscoveryFailure", "False", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "False", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "False",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "False", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "False", "All content-preserving finalizers finished"),
]
HELD = {"finalizers": ["example.com/x"]}
GOING = {"deletionTimestamp": THEN}


def entry(resource: Resource, name: str, node: str = "", /, **metadata: object) -> tuple[Resource, View]:
    return resource, View({"metadata": {"name": name, "namespace": "n", **metadata}, "spec": {"nodeName": node}})


def state(*content: tuple[Resource, View], conditions: list[Object] | None = None) -> State:
    metadata = {"name": "n", "deletionTimestamp": THEN}
    status = {"phase": "Terminating", **({"conditions": conditions} if conditions else {})}
    namespace = {"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": status}
    return State(Namespace(namespace), content)


def written(found: State) -> list[Object]:
    (update,) = [action for action in plan(found, NOW).actions if isinstance(action, UpdateStatus)]
    conditions: list[Object] = update.obj["status"]["conditions"]
    return conditions


@pytest.mark.parametrize(
    ("content", "deleted", "remaining", "finalizers"),
    [
        ([entry(CONFIG_MAPS, "c")], ["c"], "", ""),
        ([entry(PODS, "p", "m"), entry(CONFIG_MAPS, "c")], ["p"], "pods. has 1", ""),
        ([entry(PODS, "p"), entry(CONFIG_MAPS, "c")], ["p"], "", ""),
        ([entry(PODS, "p", "m", **GOING), entry(CONFIG_MAPS, "c")], [], "pods. has 1", ""),
        ([entry(CONFIG_MAPS, "c", **HELD), entry(CONFIG_MAPS, "d")], ["c", "d"], "configmaps. has 1", "1"),
        ([entry(CONFIG_MAPS, "c", **HELD, **GOING)], [], "configmaps. has 1", "1"),
        (
            [entry(DEPLOYMENTS, "a", **HELD, **GOING), entry(CONFIG_MAPS, "c", **HELD, **GOING)],
            [],
            "configmaps. has 1 resource instances, deployments.apps has 1",
            "2",
        ),
    ],
)
def test_what_goes_in_a_turn_and_what_is_told_of_the_rest(
    content: list[tuple[Resource, View]], deleted: list[str], remaining: str, finalizers: str
) -> None:
    found = state(*content)
    assert [action.key.name for action in plan(found, NOW).actions if isinstance(action, Delete)] == deleted
    expected = dict((kind, (status, message)) for kind, status, message in NOTHING_LEFT)
    if remaining:
        said = f"Some resources are remaining: {remaining} resource instances"
        expected["NamespaceContentRemaining"] = ("True", said)
    if finalizers:
        said = f"example.com/x in {finalizers} resource instances"
        told = f"Some content in the namespace has finalizers remaining: {said}"
        expected["NamespaceFinalizersRemaining"] = ("True", told)
    assert {each["type"]: (each["status"], each["message"]) for each in written(found)} == expected


def test_a_namespace_is_gone_once_it_is_told_that_nothing_is_left() -> None:
    conditions = written(state())
    assert [(each["type"], each["status"], each["message"]) for each in conditions] == NOTHING_LEFT
    (action,) = plan(state(conditions=conditions), NOW).actions
    assert isinstance(action, Finalize)
