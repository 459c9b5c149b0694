"""What an owner controls and what it could adopt: the one ownerReference that is a controller's decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from controllers.plan import Action, Key, adopt, key_of, release, selects_own
from machinery.api import selectors
from machinery.api.resource import Object, Resource
from machinery.api.views import View, Workload
from machinery.client.cache import Cache, Change


def controlled(cache: Cache, resource: Resource, uid: str) -> list[Object]:
    return [obj for obj in cache.owned_by(resource, uid) if (View(obj).controller or {}).get("uid") == uid]


def orphans(cache: Cache, resource: Resource, namespace: str, fits: Callable[[View], bool]) -> list[Object]:
    """What nobody controls and does not go; `fits` says whether it could be the owner's."""
    found = (View(obj) for obj in cache.orphans(resource, namespace))
    return [each.obj for each in found if not each.deleted and fits(each)]


def selecting(owner: Object) -> Callable[[View], bool]:
    """Whether something could be the owner's, of a kind with a selector and a template; what is not sound owns nothing.

    The selector is read once for all that are asked about.
    """
    view = Workload(owner)
    selector = selectors.stored_selector(view.selector)
    is_sound = selects_own(selector, view.template)
    return lambda child: is_sound and selector.matches(child.labels)


def is_selected(owner: Object, child: View) -> bool:
    return selecting(owner)(child)


def claims(
    resource: Resource,
    reference: Object,
    owned: Iterable[View],
    adoptable: Iterable[View],
    fits: Callable[[View], bool],
) -> list[Action]:
    """Adopts what it could own, releases what of its own no longer fits."""
    return [
        *(adopt(resource, each, reference) for each in adoptable),
        *(release(resource, each, reference["uid"]) for each in owned if not fits(each)),
    ]


def adopters(
    owner: Resource, children: Sequence[Resource], fits: Callable[[Object, View], bool]
) -> Callable[[Cache, Change], Iterable[Key]]:
    """For `Controller.related`: the owners that a change leaves an orphan to, as `fits(owner, orphan)` says."""

    def related(cache: Cache, change: Change) -> Iterable[Key]:
        if change.resource not in children or change.after is None:
            return
        orphan = View(change.after)
        if orphan.controller is not None or orphan.deleted:
            return
        for found in cache.list(owner, orphan.namespace):
            if fits(found, orphan):
                yield key_of(found)

    return related
