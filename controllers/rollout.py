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
    surge = _share(deployment.max_surge, deployment.replicas, up=True)
    unavailable = _share(deployment.max_unavailable, deployment.replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, deployment.replicas)


def _share(value: int | str, total: int, *, up: bool) -> int:
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
    unready = new.replicas - new.available_replicas
    spare = total - minimum - unready
    targets = {each.name: each.replicas for each in old}
    for each in sorted(old, key=lambda found: found.created):
        broken = min(each.replicas - each.available_replicas, spare)
        if broken > 0:
            targets[each.name] -= broken
            spare -= broken
    available = new.available_replicas + sum(each.available_replicas for each in old)
    spare = available - minimum
    for each in sorted(old, key=lambda found: found.created):
        healthy = min(targets[each.name], spare)
        if healthy > 0:
            targets[each.name] -= healthy
            spare -= healthy
    yield from ((each, targets[each.name]) for each in old if targets[each.name] != each.replicas)


def proportional(deployment: Deployment, sets: Sequence[ReplicaSet]) -> Iterator[tuple[ReplicaSet, int]]:
    """Spreads a change of the Deployment's size over several sets in the middle of a rollout, by their share."""
    surge, _ = bounds(deployment)
    active = sorted((each for each in sets if each.replicas), key=lambda each: (-each.replicas, each.created))
    total = sum(each.replicas for each in active)
    allowed = deployment.replicas + surge if deployment.replicas else 0
    to_add = allowed - total
    if not to_add:
        return
    added = 0
    targets: dict[str, int] = {}
    for each in active:
        before = int(each.annotations.get(MAXIMUM, "0")) or deployment.replicas
        fraction = math.floor(each.replicas * allowed / before + 0.5) - each.replicas
        remaining = to_add - added
        step = min(fraction, remaining) if to_add > 0 else max(fraction, remaining)
        targets[each.name] = each.replicas + step
        added += step
    if active:
        # The largest takes what rounding left.
        targets[active[0].name] = max(targets[active[0].name] + to_add - added, 0)
    yield from ((each, targets[each.name]) for each in active if targets[each.name] != each.replicas)
