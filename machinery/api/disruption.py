"""PodDisruptionBudgets as deciding code reads them. Pure."""

from __future__ import annotations

from machinery.api.resource import Object
from machinery.api.selectors import stored_selector
from machinery.api.views import View, field

DISRUPTION_TARGET = "DisruptionTarget"
"""The condition of a pod that somebody is about to end for the cluster's sake."""
ALLOWED = "DisruptionAllowed"
"""The condition of a budget that lets a pod go."""
SYNC_FAILED = "SyncFailed"


class PodDisruptionBudget(View):
    """`min_available` and `max_unavailable` are numbers or percentages; at most one of them is given."""

    selector: field[Object | None] = field("spec.selector", None)
    min_available: field[int | str | None] = field("spec.minAvailable", None)
    max_unavailable: field[int | str | None] = field("spec.maxUnavailable", None)
    unhealthy_policy = field("spec.unhealthyPodEvictionPolicy", "IfHealthyBudget")
    observed_generation = field("status.observedGeneration", 0)
    current_healthy = field("status.currentHealthy", 0)
    desired_healthy = field("status.desiredHealthy", 0)
    allowed = field("status.disruptionsAllowed", 0)
    disrupted: field[dict[str, str]] = field("status.disruptedPods", {})
    """By pod: when its eviction was granted; it need not have begun to end."""

    def covers(self, pod: View) -> bool:
        """Whether the budget counts the pod; an empty selector counts all of its namespace."""
        return self.namespace == pod.namespace and stored_selector(self.selector).matches(pod.labels)
