"""How long a Job waits before it replaces pods that failed: 10 s after the first, twice as long after each more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from controllers.job_pods import finished_at, is_failed, is_tracked
from machinery.api.views import Job, Pod
from machinery.structs import Struct, field

_FIRST, _LONGEST = 10.0, 600.0


class Failures(Struct, frozen=True):
    """The pods (uid: when) that failed since one last succeeded."""

    succeeded: datetime | None = None
    failed: Mapping[str, datetime] = field(default_factory=dict)

    def remaining(self, now: datetime) -> float:
        """Seconds until the next pod may be made."""
        return remaining(len(self.failed), max(self.failed.values(), default=now), now)


def remaining(failures: int, last: datetime, now: datetime) -> float:
    """Seconds that are left of the back-off after so many failures, the last at `last`."""
    if not failures:
        return 0.0
    wait = min(_FIRST * 2.0 ** min(failures - 1, 32), _LONGEST)
    return max(wait - (now - last) / timedelta(seconds=1), 0.0)


def after(before: Failures, job: Job, pods: Iterable[Pod]) -> Failures:
    """`before` with what `pods` show: pods that have gone since stay known, and after a restart those that are left.

    Pods that the Job itself deleted, as when it was suspended, are no failures: they are no longer tracked.
    """
    succeeded, failed = before.succeeded, dict(before.failed)
    for pod in pods:
        if pod.phase == "Succeeded" and (succeeded is None or is_tracked(pod)):
            moment = finished_at(pod)
            succeeded = moment if succeeded is None else max(succeeded, moment)
        elif pod.uid not in failed and is_failed(job, pod) and (is_tracked(pod) or not pod.deleted):
            failed[pod.uid] = finished_at(pod)
    return Failures(succeeded, {uid: at for uid, at in failed.items() if succeeded is None or at > succeeded})
