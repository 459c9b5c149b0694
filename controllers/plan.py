"""What a controller is: a value of pure functions, and the actions that its plan is made of, which a test compares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from machinery.api.errors import StatusError
from machinery.api.resource import Object, Resource
from machinery.api.selectors import LabelSelector
from machinery.api.views import View
from machinery.client.cache import Cache, Change
from machinery.structs import Struct, field


class Key(NamedTuple):
    """Where to look, never what happened."""

    namespace: str
    name: str
    resource: Resource | None = None
    """For controllers of many resources; the others know which theirs is."""


class Create(Struct, frozen=True):
    resource: Resource
    obj: Object
    about: Object | None = None
    """Whose Event tells of success or failure, where the kind has such Events."""
    is_exclusive: bool = False
    """A name that is taken is a failure. Else it is none: whoever made the object, the next look decides with it."""
    success: Record | None = None
    """The Event of its success, where that has words of its own."""


class Update(Struct, frozen=True):
    resource: Resource
    obj: Object
    subresource: str = ""


class UpdateStatus(Struct, frozen=True):
    resource: Resource
    obj: Object


class Patch(Struct, frozen=True):
    """A merge patch, or a strategic one."""

    resource: Resource
    key: Key
    patch: Any
    subresource: str = ""
    is_strategic: bool = False


class Delete(Struct, frozen=True):
    resource: Resource
    key: Key
    uid: str = ""
    resource_version: str = ""
    """Deletes only what is still as it was seen."""
    propagation: str = ""
    grace_period_seconds: int | None = None
    about: Object | None = None
    success: Record | None = None


class Finalize(Struct, frozen=True):
    """Takes the finalizer `kubernetes` out of a namespace's spec."""

    namespace: Object


class Record(Struct, frozen=True):
    """An Event about an object."""

    obj: Object
    type: str
    reason: str
    message: str


Action = Create | Update | UpdateStatus | Patch | Delete | Finalize | Record


def _nothing(action: Action, error: StatusError) -> Sequence[Action]:
    return ()


class Plan(Struct, frozen=True):
    """The actions in order; `requeue_after` (seconds) looks again although nothing may have changed.

    Where an action fails, the rest is left and `on_failure` says what to do instead, as telling it in the status.
    """

    actions: Sequence[Action] = ()
    requeue_after: float | None = None
    on_failure: Callable[[Action, StatusError], Sequence[Action]] = _nothing


class Controller(Struct, frozen=True):
    """`wakes` maps a resource to the keys that a change of one of its objects concerns.

    `observe(cache, key)` gives the state that `plan(state, now)` decides on, None where the key is gone.
    """

    name: str
    wakes: Mapping[Resource, Callable[[Object], Iterable[Key]]]
    observe: Callable[[Cache, Key], Any]
    plan: Callable[[Any, datetime], Plan]
    identity: str = ""
    """The ServiceAccount's name in kube-system, `<name>-controller` where it is not said."""
    component: str = ""
    """Whom its Events are from, where it is not the account."""
    related: Callable[[Cache, Change], Iterable[Key]] | None = None
    """Further keys that a change concerns, where that takes a look around."""
    settles: Callable[[Change], float] | None = None
    """For how many seconds more changes are awaited after one, so that a burst of them is decided on once."""
    concurrency: int = 5
    retries: tuple[float, float] = field(default=(0.005, 60.0))

    @property
    def account(self) -> str:
        """The ServiceAccount in kube-system as which it acts."""
        return self.identity or f"{self.name}-controller"


def itself(obj: Object) -> tuple[Key]:
    return (key_of(obj),)


def nobody(obj: Object) -> tuple[Key, ...]:
    return ()


def key_of(obj: Object) -> Key:
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def controller_owner(kind: str) -> Callable[[Object], Iterable[Key]]:
    """The key of the controlling owner where it is of `kind`."""

    def wake(obj: Object) -> Iterable[Key]:
        for ref in obj["metadata"].get("ownerReferences") or []:
            if ref.get("controller") and ref["kind"] == kind:
                yield Key(obj["metadata"].get("namespace", ""), ref["name"])

    return wake


def owner_reference(resource: Resource, owner: Object) -> Object:
    """The ownerReference of a controller to put into what it makes."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def selects_own(selector: LabelSelector, template: Object) -> bool:
    """Whether what the template makes is selected, and not everything is: what the API asks of every workload."""
    return not selector.empty and selector.matches((template.get("metadata") or {}).get("labels"))


def adopt(resource: Resource, view: View, reference: Object) -> Patch:
    """Makes `reference` the controller of what nobody controls."""
    metadata = {"uid": view.uid, "ownerReferences": [*view.owner_references, reference]}
    return Patch(resource, key_of(view.obj), {"metadata": metadata})


def release(resource: Resource, view: View, uid: str) -> Patch:
    """Takes the ownerReference to `uid` away."""
    kept = [ref for ref in view.owner_references if ref["uid"] != uid]
    return Patch(resource, key_of(view.obj), {"metadata": {"uid": view.uid, "ownerReferences": kept or None}})


def with_status(obj: Object, status: Object) -> Object:
    return {**obj, "status": status}


def status_update(resource: Resource, obj: Object, status: Object) -> list[Action]:
    """The write of the status, where it is another than what is there."""
    is_new = status != (obj.get("status") or {})
    return [UpdateStatus(resource, with_status(obj, status))] if is_new else []
