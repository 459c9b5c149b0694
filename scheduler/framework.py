"""The words of the scheduling framework: a plugin is a value of pure functions, one for each extension point.

`pre_filter` and `pre_score` look once at the pod and the whole snapshot and give the state that `filter` and `score`
get for each node; None says that the plugin has nothing to say about this pod, and it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from functools import cached_property
from typing import Any

from machinery.api.resource import Object
from machinery.structs import Struct, field
from scheduler.cluster_events import ClusterEvent, Happened
from scheduler.node_info import NodeInfo
from scheduler.pod_info import PodInfo
from scheduler.snapshot import Snapshot

BEST = 100
"""The score of the best node, after normalizing."""


class Refusal(Struct, frozen=True):
    """Why a node can't take the pod; `is_final` where no eviction could change that."""

    reasons: tuple[str, ...]
    is_final: bool = False
    plugin: str = ""


class OnlyNodes(Struct, frozen=True):
    """`pre_filter` may narrow the nodes that are looked at."""

    names: frozenset[str]
    state: Any = True


class Decision(Struct, frozen=True):
    """`node` is empty where no node fits; `refused` then tells why, node by node, and `message` as upstream does."""

    node: str
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    pod_refused: Refusal | None = None
    """Set where the pod itself was refused, before any node was looked at."""
    message: str = ""
    looked_at: int = 0

    @property
    def refused_by(self) -> frozenset[str]:
        """The plugins that must change their mind."""
        refusals = [self.pod_refused] if self.pod_refused else self.refused.values()
        return frozenset(refusal.plugin for refusal in refusals)


class Reservation(Struct, frozen=True):
    """What to do before the pod is bound: claims that take a volume there is, and those for which one is to be made."""

    bindings: tuple[tuple[Object, Object], ...] = ()
    """(claim, volume)."""
    provisions: tuple[Object, ...] = ()

    @property
    def claims(self) -> tuple[Object, ...]:
        return (*(claim for claim, _ in self.bindings), *self.provisions)


class Candidate(Struct, frozen=True):
    """Evicting the victims, the most important first, would let the pod fit on the node."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int
    """How many of them a PodDisruptionBudget protects."""


class Outcome(Struct, frozen=True):
    """What became of a pod that fits nowhere. `nominated` is the node to wait for: "" for none, None for as before."""

    message: str
    nominated: str | None = ""
    chosen: Candidate | None = None


PreFilter = Callable[[PodInfo, Snapshot], Any]
Filter = Callable[[Any, PodInfo, NodeInfo], Refusal | None]
PreScore = Callable[[PodInfo, Snapshot, Sequence[NodeInfo]], Any]
Score = Callable[[Any, PodInfo, NodeInfo], int]
Scores = Callable[[Any, PodInfo, Sequence[NodeInfo]], Sequence[int]]
Normalize = Callable[[Any, Sequence[int]], Sequence[int]]
Helps = Callable[[PodInfo, ClusterEvent], bool]
PostFilter = Callable[[PodInfo, Snapshot, Decision, "Profile"], Generator[None, None, Outcome]]
"""Looks for a way to make room, in steps, each of which may take long."""
Reserve = Callable[[PodInfo, Snapshot, NodeInfo], Reservation]
Permit = Callable[[PodInfo, NodeInfo], Refusal | None]
"""The last word on the node that was chosen."""


class Hint(Struct, frozen=True):
    """A queueing hint: which sorts of events may help a pod that was refused, and whether one of them does."""

    events: frozenset[Happened]
    helps: Helps

    @classmethod
    def on(cls, *events: Happened, if_: Helps) -> Hint:
        return cls(frozenset(events), if_)


def applies(pod: PodInfo, snapshot: Snapshot) -> bool:
    """The `pre_filter` of a plugin that is about every pod."""
    return True


def scores(pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> bool:
    """The `pre_score` of a plugin that is about every pod."""
    return True


def as_is(state: Any, found: Sequence[int]) -> Sequence[int]:
    """Scores that are 0 to 100 as they come."""
    return found


class Plugin(Struct, frozen=True):
    """`is_local`: all it says follows from the pod's shape and the NodeInfo alone, and is remembered.

    `scores` is `score` for many nodes at once, where that is quicker. `topology_keys` names, for a state, the labels of
    nodes on which alone `filter` depends.
    """

    name: str
    pre_filter: PreFilter = applies
    filter: Filter | None = None
    pre_score: PreScore = scores
    score: Score | None = None
    scores: Scores | None = None
    normalize: Normalize = as_is
    post_filter: PostFilter | None = None
    reserve: Reserve | None = None
    permit: Permit | None = None
    is_local: bool = False
    topology_keys: Callable[[Any], Collection[str]] | None = None
    hint: Hint | None = None

    @property
    def scores_alone(self) -> bool:
        return self.is_local and self.normalize is as_is


class Profile(Struct, frozen=True, dict=True):
    """A scheduler's name, and its plugins in order; `weights` by the name of the plugin."""

    name: str
    plugins: tuple[Plugin, ...]
    weights: tuple[tuple[str, int], ...]
    percentage_of_nodes: int = 0
    """How many nodes are scored, 0 for a share that falls with their number."""

    @cached_property
    def filters(self) -> tuple[Plugin, ...]:
        return tuple(plugin for plugin in self.plugins if plugin.filter is not None)

    @cached_property
    def _scorers(self) -> tuple[tuple[Plugin, int], ...]:
        weights = dict(self.weights)
        return tuple(
            (plugin, weights[plugin.name])
            for plugin in self.plugins
            if plugin.score is not None and weights.get(plugin.name)
        )

    @cached_property
    def alone_scorers(self) -> tuple[tuple[Plugin, int], ...]:
        """Those by which a node has its points whatever the others have: they are remembered as one sum."""
        return tuple((plugin, weight) for plugin, weight in self._scorers if plugin.scores_alone)

    @cached_property
    def other_scorers(self) -> tuple[tuple[Plugin, int], ...]:
        return tuple((plugin, weight) for plugin, weight in self._scorers if not plugin.scores_alone)


def default_normalize(found: Sequence[int], *, reverse: bool = False) -> list[int]:
    """The highest becomes 100, or 0 where fewer is better."""
    most = max(found, default=0)
    if not most:
        return [BEST if reverse else 0] * len(found)
    scaled = [BEST * value // most for value in found]
    return [BEST - value for value in scaled] if reverse else scaled
