"""How many replicas each ReplicaSet of a Deployment should have next: rolling update, recreate, plain scaling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from machinery.api.views import Deployment, ReplicaSet

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


def bounds(deployment: Deployment) -> tuple[int, int]:
    """(max surge, max unavailable) as numbers; surge rounds up, unavailable down, and they are never both 0."""
    if deployment.strategy != "RollingUpdate":
        return 0, 0
    surge = share(deployment.max_surge, deployment.replicas, up=True)
    unavailable = share(deployment.max_unavailable, deployment.replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, deployment.replicas)


def share(value: int | str, total: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    exact = int(value.rstrip("%")) * total / 100
    return math.ceil(exact) if up else math.floor(exact)


def next_scales(
    deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet], *, old_pods_running: bool
) -> Iterator[tuple[ReplicaSet, int]]:
    """(ReplicaSet, replicas) of every change to make now, in order; empty when there is none.

    `new` is None only with Recreate, as long as the old ones are in its way.
    """
    if deployment.strategy == "Recreate":
        yield from _recreate(deployment, new, old, old_pods_running=old_pods_running)
        return
    assert new is not None
    surge, unavailable = bounds(deployment)
    total = new.replicas + sum(each.replicas for each in old)
    if new.replicas < deployment.replicas and total < deployment.replicas + surge:
        room = deployment.replicas + surge - total
        # One step a pass, as upstream: what was scaled up now is counted before anything is scaled down.
        yield new, min(new.replicas + room, deployment.replicas)
        return
    if new.replicas > deployment.replicas:
        yield new, deployment.replicas
        return
    yield from _scale_down_old(deployment, new, old, deployment.replicas - unavailable)


def _recreate(
    deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet], *, old_pods_running: bool
) -> Iterator[tuple[ReplicaSet, int]]:
    running = [each for each in old if each.replicas]
    yield from ((each, 0) for each in running)
    if new is not None and not running and not old_pods_running and new.replicas != deployment.replicas:
        yield new, deployment.replicas


def _scale_down_old(
    deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet], minimum: int
) -> Iterator[tuple[ReplicaSet, int]]:
    """First what is broken, then what is healthy as far as `minimum` available ones allow."""
    total = new.replicas + sum(each.replicas for each in old)
    unready = new.replicas - _standing(new)
    spare = total - minimum - unready
    if spare <= 0:
        return
    targets = {each.name: each.replicas for each in old}
    for each in sorted(old, key=lambda found: found.created):
        broken = min(each.replicas - _standing(each), spare)
        if broken > 0:
            targets[each.name] -= broken
            spare -= broken
    available = sum(_standing(each) for each in (new, *old))
    spare = available - minimum
    for each in sorted(old, key=lambda found: found.created):
        healthy = min(targets[each.name], spare)
        if healthy > 0:
            targets[each.name] -= healthy
            spare -= healthy
    yield from ((each, targets[each.name]) for each in old if targets[each.name] != each.replicas)


def _standing(each: ReplicaSet) -> int:
    """The available replicas without those that the set was told to take away, and that its status may still count."""
    return min(each.available_replicas, each.replicas)


def resized(
    deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]
) -> Iterator[tuple[ReplicaSet, int]]:
    """(ReplicaSet, replicas) of all that have a part in the Deployment's size where that is all that changes now.

    That is so when `spec.replicas` changed, and while the Deployment is paused.
    """
    every = [*old, *([new] if new is not None else ())]
    active = [each for each in every if each.replicas]
    if len(active) <= 1:
        only = active[0] if active else new or max(old, key=_age, default=None)
        if only is not None:
            yield only, deployment.replicas
    elif new is not None and _is_saturated(deployment, new):
        # Sets that were adopted beside a finished rollout have no part in it.
        yield from ((each, 0) for each in old if each.replicas)
    elif deployment.strategy == "RollingUpdate":
        yield from _proportional(deployment, active)
    else:
        # Recreate stops the old ones in any case; only the size is noted.
        yield from ((each, each.replicas) for each in active)


def _age(each: ReplicaSet) -> tuple[str, str]:
    return each.created, each.name


def _is_saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    wanted = deployment.replicas
    return new.annotations.get(DESIRED) == str(wanted) and new.replicas == new.available_replicas == wanted


def _proportional(deployment: Deployment, active: Sequence[ReplicaSet]) -> Iterator[tuple[ReplicaSet, int]]:
    """Spreads a change of the Deployment's size over several sets in the middle of a rollout, by their share."""
    surge, _ = bounds(deployment)
    allowed = deployment.replicas + surge if deployment.replicas else 0
    to_add = allowed - sum(each.replicas for each in active)
    # Of sets of one size the newest grow first, the oldest shrink first.
    ordered = sorted(sorted(active, key=_age, reverse=to_add > 0), key=lambda each: -each.replicas)
    added = 0
    targets = {each.name: each.replicas for each in ordered}
    for each in ordered if to_add else ():
        share, remaining = _share_of(each, deployment, surge), to_add - added
        step = min(share, remaining) if to_add > 0 else max(share, remaining)
        targets[each.name] += step
        added += step
    # The largest takes what rounding left.
    targets[ordered[0].name] = max(targets[ordered[0].name] + to_add - added, 0)
    yield from ((each, targets[each.name]) for each in ordered)


def _share_of(each: ReplicaSet, deployment: Deployment, surge: int) -> int:
    """By how much a set grows or shrinks to keep its part of the whole."""
    if not deployment.replicas:
        return -each.replicas
    before = int(each.annotations.get(MAXIMUM, "0")) or deployment.current_replicas
    if not before:
        return 0
    return math.floor(each.replicas * (deployment.replicas + surge) / before + 0.5) - each.replicas
