"""What is to be done on each node by itself: a missing pod made, a failed one killed, a surplus one deleted."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from datetime import datetime

from controllers.daemonset_nodes import Wants
from controllers.daemonset_rollout import split
from controllers.plan import Record
from machinery.api.timestamps import parse_time
from machinery.api.views import DaemonSet, Pod
from machinery.structs import Struct

_FIRST_DELAY, _LONGEST_DELAY = 1.0, 900.0
_FORGOTTEN_AFTER = 2 * _LONGEST_DELAY


class Chore(Struct, frozen=True):
    """One thing to do: a pod to delete, with what is told of it; or, where `pod` is None, one to make on `node`.

    With `wait` (seconds) it is for later.
    """

    node: str
    pod: Pod | None = None
    told: Record | None = None
    wait: float = 0.0


class Tending(Struct, frozen=True):
    """What chores are decided with: how often pods of a node have failed in a row, and which pods are available."""

    daemon_set: DaemonSet
    hash: str
    allows_surge: bool
    failures: Mapping[str, int]
    is_available: Callable[[Pod], bool]
    now: datetime


def age_order(pod: Pod) -> tuple[bool, str, str]:
    """Bound pods first, then the oldest."""
    return not pod.node_name, pod.created, pod.name


def chores(tending: Tending, node: str, wants: Wants, pods: list[Pod]) -> Iterator[Chore]:
    """`pods` are the node's, without those that are finished and being deleted."""
    if wants is Wants.A_POD and not pods:
        yield Chore(node)
        return
    living = [pod for pod in pods if not pod.deleted]
    if wants is Wants.NO_POD:
        yield from (Chore(node, pod) for pod in living)
        return
    yield from (_finished(tending, node, pod) for pod in living if pod.is_finished)
    running = sorted((pod for pod in living if not pod.is_finished), key=age_order)
    if not tending.allows_surge:
        yield from (Chore(node, pod) for pod in running[1:])
    elif not running and wants is Wants.A_POD:
        yield Chore(node)
    elif len(running) > 1:
        yield from (Chore(node, pod) for pod in _surplus(tending, node, running))


def _finished(tending: Tending, node: str, pod: Pod) -> Chore:
    name = f"daemon pod {pod.namespace}/{pod.name} on node {node}"
    owner = tending.daemon_set.obj
    if pod.phase == "Succeeded":
        said = f"Found succeeded {name}, will try to delete it"
        return Chore(node, pod, Record(owner, "Normal", "SucceededDaemonPod", said))
    said = f"Found failed {name}, will try to kill it"
    wait = _delay(tending.failures.get(node, 1)) - (tending.now - parse_time(pod.created)).total_seconds()
    return Chore(node, pod, Record(owner, "Warning", "FailedDaemonPod", said), max(wait, 0.0))


def _delay(failures: int) -> float:
    """How old the last of so many pods that failed in a row must be: the pod before it was killed when it was made.

    The first goes at once; a kubelet that refuses one pod after the other is asked less and less often.
    """
    return min(_FIRST_DELAY * 2.0 ** min(failures - 2, 32), _LONGEST_DELAY) if failures > 1 else 0.0


def _surplus(tending: Tending, node: str, running: list[Pod]) -> Iterator[Pod]:
    """With a surge an old and a new pod may be there as long as the old one is ready and the new one not available."""
    there = split(node, running, tending.hash, wanted=True)
    yield from (*there.new[1:], *there.old[1:])
    if there.new and there.old and (not there.old[0].is_ready or tending.is_available(there.new[0])):
        yield there.old[0]


class Failures:
    """How often pods have failed in a row, node by node; what upstream too knows only as long as it runs."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, dict[str, _Failed]]] = {}

    def count(self, owner: DaemonSet, failed: Mapping[str, Pod]) -> dict[str, int]:
        """`failed` maps a node to its failed pod; an owner that has changed starts anew."""
        generation, known = self._known.get(owner.uid, (0, {}))
        if generation != owner.observed_generation:
            known = {}
        for node, pod in failed.items():
            before, created = known.get(node), parse_time(pod.created)
            if before is None or (created - before.created).total_seconds() > _FORGOTTEN_AFTER:
                known[node] = _Failed(1, pod.uid, created)
            elif before.uid != pod.uid:
                known[node] = _Failed(before.number + 1, pod.uid, created)
        if known:
            self._known[owner.uid] = owner.observed_generation, known
        return {node: found.number for node, found in known.items()}

    def forget(self, kept: Container[str]) -> None:
        """Forgets all owners but these (uids)."""
        self._known = {uid: known for uid, known in self._known.items() if uid in kept}


class _Failed(Struct, frozen=True):
    number: int
    uid: str
    created: datetime
