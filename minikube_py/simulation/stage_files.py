"""Where stages come from: the built-in ones, or those of a ConfigMap that `minikube-py simulate --stages` writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from machinery.client.cache import Change
from minikube_py.simulation.fast import FAST
from minikube_py.simulation.stages import Stage

NAMESPACE, NAME, FILE = "kube-system", "simulated-stages", "stages.yaml"


class StageBook:
    """The stages in force, by the kind of their objects."""

    def __init__(self) -> None:
        self._by_kind: Mapping[str, Sequence[Stage]] = _by_kind(FAST)

    def stages(self, kind: str) -> Sequence[Stage]:
        return self._by_kind.get(kind, ())

    def read(self, change: Change) -> bool:
        """Whether a ConfigMap's change brought other stages."""
        return False


def _by_kind(stages: Iterable[Stage]) -> Mapping[str, Sequence[Stage]]:
    found: defaultdict[str, list[Stage]] = defaultdict(list)
    for stage in stages:
        found[stage.kind].append(stage)
    return found
