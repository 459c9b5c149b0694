"""Which stages are in force: the built-in ones, or those of a ConfigMap that `minikube-py simulate --stages` writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from machinery.client.cache import Change
from minikube_py.simulation.fast import FAST
from minikube_py.simulation.stages import Stage

LOG = logging.getLogger("simulation")
NAMESPACE, NAME, FILE = "kube-system", "simulated-stages", "stages.yaml"


class StageBook:
    """The stages by the kind of their objects; a file's take the place of the built-in ones of the kinds in it."""

    def __init__(self) -> None:
        self._text = ""
        self._by_kind: Mapping[str, Sequence[Stage]] = _by_kind(FAST)

    def stages(self, kind: str) -> Sequence[Stage]:
        return self._by_kind.get(kind, ())

    def read(self, change: Change) -> bool:
        """Whether a ConfigMap's change brought other stages; what can't be read is told, and nothing changes."""
        metadata = change.object["metadata"]
        if (metadata["namespace"], metadata["name"]) != (NAMESPACE, NAME):
            return False
        text = ((change.after or {}).get("data") or {}).get(FILE) or ""
        if text == self._text:
            return False
        from minikube_py.simulation.stage_files import StageError, read

        try:
            found = _by_kind(read(text)) if text else {}
        except StageError as error:
            LOG.warning("the stages in %s/%s are left as they were: %s", NAMESPACE, NAME, error)
            return False
        self._text, self._by_kind = text, {**_by_kind(FAST), **found}
        return True


def _by_kind(stages: Sequence[Stage]) -> Mapping[str, Sequence[Stage]]:
    found: dict[str, list[Stage]] = {}
    for stage in stages:
        found.setdefault(stage.kind, []).append(stage)
    return found
