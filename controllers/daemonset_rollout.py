"""How a DaemonSet goes from one template to the next: a few nodes at a time, as the update strategy allows.

Without a surge old pods are deleted, and the plan makes new ones in their place. With a surge a new pod comes beside
the old one, which goes once the new one is available.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from controllers.history import POD_LABEL
from controllers.rollout import share
from machinery.api.views import DaemonSet, Pod
from machinery.structs import Struct, field


class NodePods(Struct, frozen=True):
    """The pods of one node that are not being deleted; `wanted` says whether a new one may come there."""

    node: str
    old: tuple[Pod, ...]
    new: tuple[Pod, ...]
    wanted: bool

    @property
    def is_crowded(self) -> bool:
        """More than one pod of a kind: they are thinned out before anything else is decided."""
        return len(self.old) > 1 or len(self.new) > 1


class Step(Struct, frozen=True):
    """Pods to delete, and nodes that get a new one."""

    deleted: list[Pod] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)


def split(node: str, pods: Sequence[Pod], revision_hash: str, *, wanted: bool) -> NodePods:
    living = [pod for pod in pods if not pod.deleted]
    new = tuple(pod for pod in living if pod.labels.get(POD_LABEL) == revision_hash)
    return NodePods(node, tuple(pod for pod in living if pod not in new), new, wanted)


def bounds(daemon_set: DaemonSet, nodes: int) -> tuple[int, int]:
    """(max surge, max unavailable) of so many nodes that want a pod; both round up and are never both 0."""
    if daemon_set.strategy != "RollingUpdate":
        return 0, 0
    surge = share(daemon_set.max_surge, nodes, up=True)
    unavailable = share(daemon_set.max_unavailable, nodes, up=True)
    return surge, unavailable if surge or unavailable else 1


def allows_surge(daemon_set: DaemonSet) -> bool:
    return bounds(daemon_set, 1)[0] > 0


def next_step(daemon_set: DaemonSet, nodes: Sequence[NodePods], is_available: Callable[[Pod], bool]) -> Step:
    """`nodes` are those that want a pod or have one."""
    surge, unavailable = bounds(daemon_set, sum(each.wanted for each in nodes))
    if surge:
        return _surge(nodes, surge, is_available)
    return Step(list(_replaced(nodes, unavailable, is_available)))


def _replaced(nodes: Sequence[NodePods], most: int, is_available: Callable[[Pod], bool]) -> Iterator[Pod]:
    """Old pods that are not available in any case, others as far as so many nodes may be without."""
    unavailable, candidates = 0, []
    for each in nodes:
        if each.is_crowded or bool(each.old) == bool(each.new):
            unavailable += 1
        elif each.new:
            unavailable += not is_available(each.new[0])
        elif is_available(each.old[0]):
            candidates.append(each.old[0])
        else:
            unavailable += 1
            yield each.old[0]
    yield from candidates[: max(most - unavailable, 0)]


def _surge(nodes: Sequence[NodePods], most: int, is_available: Callable[[Pod], bool]) -> Step:
    """New pods beside old ones; old ones go where the new one is available.

    Nobody is waited for where the old pod is not available. On nodes that want no pod any longer the old ones stay
    until as many are available as are wanted.
    """
    step, surging, available = Step(), 0, 0
    candidates: list[str] = []
    leaving: list[Pod] = []
    for each in nodes:
        if each.is_crowded:
            surging += 1
            continue
        standing = (each.old or each.new or (None,))[0]
        is_served = standing is not None and is_available(standing)
        available += is_served
        if not each.old:
            continue
        if each.new:
            if is_available(each.new[0]):
                step.deleted.append(each.old[0])
            else:
                surging += 1
        elif each.wanted:
            (candidates if is_served else step.nodes).append(each.node)
        elif is_served:
            leaving.append(each.old[0])
        else:
            step.deleted.append(each.old[0])
    wanted = sum(each.wanted for each in nodes)
    step.deleted.extend(leaving[: max(available - wanted, 0)])
    step.nodes.extend(candidates[: max(most - surging, 0)])
    return step
