"""ControllerRevisions: every template that a StatefulSet or a DaemonSet has had, as the patch that brings it back.

`kubectl rollout undo` sends such a patch. The newest revision is the one of the template that is wanted now: a template
that comes back takes its old revision with it to the end of the row (apps/v1 ControllerRevision).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controllers.claiming import controlled, orphans
from controllers.plan import Action, Create, Delete, Update, key_of, owner_reference
from controllers.template_hash import template_hash
from machinery.api.resource import Object, Resource
from machinery.api.resources import CONTROLLER_REVISIONS
from machinery.api.views import ControllerRevision, View, Workload
from machinery.client.cache import Cache
from machinery.structs import Struct

POD_LABEL = "controller-revision-hash"
_LONGEST_PREFIX = 223


class History(Struct, frozen=True):
    """An owner's revisions, oldest first; `orphans` are such as it could adopt.

    `name` and `collisions` are what a new revision of the present template is called, and the collision count that the
    name takes; `namesake` has that name and that template already, whosever it is.
    """

    revisions: tuple[ControllerRevision, ...] = ()
    orphans: tuple[ControllerRevision, ...] = ()
    name: str = ""
    collisions: int | None = None
    namesake: ControllerRevision | None = None

    @property
    def hash(self) -> str:
        return self.name.rpartition("-")[2]

    def equals(self, template: Object) -> list[ControllerRevision]:
        """The revisions of `template`, oldest first."""
        data = patch_of(template)
        return [each for each in self.revisions if each.data == data]

    def present(self, template: Object) -> ControllerRevision | None:
        """The revision of `template`; None where it is yet to be made."""
        equal = self.equals(template)
        return equal[-1] if equal else self.namesake

    def counted(self, template: Object, before: int | None) -> int | None:
        """The collision count for the status, where it was `before`: only a revision that is made now raises it."""
        return self.collisions if self.present(template) is None else before


def patch_of(template: Object) -> Object:
    """The strategic merge patch that puts `template` back."""
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def template_of(revision: ControllerRevision) -> Object:
    template = (revision.data.get("spec") or {}).get("template") or {}
    return {key: value for key, value in template.items() if key != "$patch"}


def order(revision: ControllerRevision) -> tuple[int, str, str]:
    return revision.revision, revision.created, revision.name


def made(resource: Resource, owner: Workload, history: History, hash_label: str) -> Create:
    """The present template's first revision, the newest of all."""
    labels = (owner.template.get("metadata") or {}).get("labels") or {}
    metadata: Object = {
        "name": history.name,
        "namespace": owner.namespace,
        "labels": {**labels, hash_label: history.hash},
        "ownerReferences": [owner_reference(resource, owner.obj)],
    }
    if owner.annotations:
        metadata["annotations"] = owner.annotations
    newest = max((each.revision for each in history.revisions), default=0)
    return Create(
        CONTROLLER_REVISIONS, {"metadata": metadata, "data": patch_of(owner.template), "revision": newest + 1}
    )


def renewed(present: ControllerRevision, others: Sequence[ControllerRevision]) -> list[Action]:
    """Moves the present revision to the end of the row, where an older template is wanted again."""
    newest = max((each.revision for each in others), default=0)
    if present.revision > newest:
        return []
    return [Update(CONTROLLER_REVISIONS, {**present.obj, "revision": newest + 1})]


def deletions(revisions: Sequence[ControllerRevision]) -> list[Action]:
    return [Delete(CONTROLLER_REVISIONS, key_of(each.obj), uid=each.uid) for each in revisions]


def observe_history(cache: Cache, owner: Workload, fits: Callable[[View], bool], collisions: int | None) -> History:
    """`collisions` is the count of the owner's status, None where it has had none."""
    own = map(ControllerRevision, controlled(cache, CONTROLLER_REVISIONS, owner.uid))
    free = map(ControllerRevision, orphans(cache, CONTROLLER_REVISIONS, owner.namespace, fits))
    data = patch_of(owner.template)
    while True:
        name = f"{owner.name[:_LONGEST_PREFIX]}-{template_hash(owner.template, collisions)}"
        found = cache.get(CONTROLLER_REVISIONS, owner.namespace, name)
        namesake = ControllerRevision(found) if found is not None else None
        if namesake is None or namesake.data == data:
            return History(tuple(sorted(own, key=order)), tuple(free), name, collisions, namesake)
        collisions = (collisions or 0) + 1
