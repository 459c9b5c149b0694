"""Namespaces that end: their content is deleted first (pods before the rest), then the finalizer `kubernetes` goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from controllers.plan import (
    Action,
    Controller,
    Delete,
    Finalize,
    Key,
    Plan,
    UpdateStatus,
    itself,
    key_of,
    nobody,
    with_status,
)
from machinery.api.resource import Object, Resource
from machinery.api.resources import NAMESPACES, PODS, RESOURCES
from machinery.api.timestamps import rfc3339
from machinery.api.views import Namespace, Pod, View
from machinery.client.cache import Cache, Change
from machinery.structs import Struct

CONTENT = tuple(row for row in RESOURCES if row.namespaced and row.is_stored and row.stored_as is None)
_WORDS = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


class State(Struct, frozen=True):
    namespace: Namespace
    content: tuple[tuple[Resource, View], ...]


def plan(state: State, now: datetime) -> Plan:
    namespace = state.namespace
    if not namespace.deleted or "kubernetes" not in namespace.spec_finalizers:
        return Plan()
    pods = tuple(entry for entry in state.content if entry[0] == PODS)
    # Ordered deletion: what pods need (secrets, policies) goes only after they are gone.
    turn = pods or state.content
    actions: list[Action] = [
        Delete(resource, key_of(view.obj), uid=view.uid, propagation="Background")
        for resource, view in turn
        if not view.deleted
    ]
    conditions = _conditions(namespace, [entry for entry in turn if _outlasts(*entry)], rfc3339(now))
    if conditions != namespace.conditions:
        status = {**(namespace.obj.get("status") or {}), "phase": "Terminating", "conditions": conditions}
        actions.append(UpdateStatus(NAMESPACES, with_status(namespace.obj, status)))
    elif not state.content:
        actions.append(Finalize(namespace.obj))
    return Plan(actions)


def _outlasts(resource: Resource, view: View) -> bool:
    """Whether it is there for a while after it was deleted: the rest is gone at once, and not worth telling."""
    return bool(view.deleted or view.finalizers) or (resource == PODS and bool(Pod(view.obj).node_name))


def _conditions(namespace: Namespace, left: Sequence[tuple[Resource, View]], now: str) -> list[Object]:
    """What is told of a deletion, where this much is left of the content."""
    counts = Counter(f"{resource.plural}.{resource.group}" for resource, _ in left)
    finalizers = Counter(name for _, view in left for name in view.finalizers)
    said: dict[str, tuple[str, str, str]] = {kind: ("False", *words) for kind, words in _WORDS.items()}
    if counts:
        parts = ", ".join(sorted(f"{name} has {n} resource instances" for name, n in counts.items()))
        said["NamespaceContentRemaining"] = ("True", "SomeResourcesRemain", f"Some resources are remaining: {parts}")
    if finalizers:
        parts = ", ".join(f"{name} in {n} resource instances" for name, n in sorted(finalizers.items()))
        text = f"Some content in the namespace has finalizers remaining: {parts}"
        said["NamespaceFinalizersRemaining"] = ("True", "SomeFinalizersRemain", text)
    found = []
    for kind, (status, reason, message) in said.items():
        before = namespace.condition(kind)
        same = before is not None and before["status"] == status
        at = before["lastTransitionTime"] if same and before is not None else now
        found.append({"type": kind, "status": status, "lastTransitionTime": at, "reason": reason, "message": message})
    return found


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(NAMESPACES, "", key.name)
    if found is None:
        return None
    namespace = Namespace(found)
    if not namespace.deleted:
        return State(namespace, ())
    content = tuple((row, View(obj)) for row in CONTENT for obj in cache.list(row, key.name))
    return State(namespace, content)


def _of_namespace(cache: Cache, change: Change) -> Iterable[Key]:
    """What changes in a namespace that ends concerns it."""
    name = change.object["metadata"].get("namespace", "")
    found = cache.get(NAMESPACES, "", name) if name else None
    if found is not None and found["metadata"].get("deletionTimestamp"):
        yield Key("", name)


NAMESPACE = Controller(
    "namespace",
    wakes={NAMESPACES: itself, **{row: nobody for row in CONTENT}},
    related=_of_namespace,
    observe=observe,
    plan=plan,
)
