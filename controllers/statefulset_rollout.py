"""Which pods of a StatefulSet go next for a new template: from the highest ordinal down to the partition."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controllers.history import POD_LABEL
from controllers.rollout import share
from machinery.api.views import Pod, StatefulSet
from machinery.structs import Struct


class Replica(Struct, frozen=True):
    """An ordinal's pod, None as long as it is to be made, and its revision."""

    ordinal: int
    pod: Pod | None
    revision: str

    @classmethod
    def of(cls, ordinal: int, pod: Pod | None) -> Replica:
        return cls(ordinal, pod, pod.labels.get(POD_LABEL, "") if pod is not None else "")


def is_running(pod: Pod | None) -> bool:
    """Running and Ready."""
    return pod is not None and pod.phase == "Running" and pod.is_ready


def serves(pod: Pod | None, is_available: Callable[[Pod], bool]) -> bool:
    """Available, and not about to go."""
    return pod is not None and not pod.deleted and is_available(pod)


def next_victim(
    stateful_set: StatefulSet, replicas: Sequence[Replica], update: str, is_available: Callable[[Pod], bool]
) -> list[Pod]:
    """At most one pod: the highest that is of another revision, once all above it are available."""
    for replica in reversed(replicas[stateful_set.partition :]):
        pod = replica.pod
        if pod is not None and replica.revision != update and not pod.deleted:
            return [pod]
        if not serves(pod, is_available):
            return []
    return []


def next_victims(
    stateful_set: StatefulSet, replicas: Sequence[Replica], update: str, is_available: Callable[[Pod], bool]
) -> list[Pod]:
    """With `maxUnavailable` (KEP-961): as many at once as may be unavailable, the highest first.

    With parallel management those that are not available go in any case: nothing is lost by them.
    """
    most = max(share(stateful_set.max_unavailable, stateful_set.replicas, up=False), 1)

    outdated = [
        replica.pod
        for replica in reversed(replicas[stateful_set.partition :])
        if replica.pod is not None and replica.revision != update and not replica.pod.deleted
    ]
    budget = max(most - sum(not serves(replica.pod, is_available) for replica in replicas), 0)
    if stateful_set.pod_management != "Parallel":
        return outdated[:budget]
    serving = [pod for pod in outdated if serves(pod, is_available)]
    return [pod for pod in outdated if pod not in serving] + serving[:budget]
