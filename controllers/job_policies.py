"""The policies of a Job (batch/v1): what a pod's failure means, and which indexes must succeed."""

from __future__ import annotations

from collections.abc import Iterable

from controllers.job_indexes import Indexes
from machinery.api.resource import Object
from machinery.api.views import Job, Pod
from machinery.structs import Struct


class Failure(Struct, frozen=True):
    """What the policy makes of a failed pod: the rule's action, empty where none matched, and FailJob's message."""

    action: str = ""
    message: str = ""

    @property
    def counts(self) -> bool:
        """Whether it counts towards the back-off limits."""
        return self.action != "Ignore"


def failure_of(job: Job, pod: Pod) -> Failure:
    """What the first rule that fits says."""
    for index, rule in enumerate((job.pod_failure_policy or {}).get("rules") or []):
        action = rule["action"]
        if "onExitCodes" in rule:
            status = _matching_status(pod, rule["onExitCodes"])
            if status is not None:
                code = status["state"]["terminated"]["exitCode"]
                said = f"Container {status['name']} for pod {pod.namespace}/{pod.name} failed with exit code {code}"
                return Failure(action, f"{said} matching {action} rule at index {index}" if _fails(action) else "")
        else:
            kind = _matching_condition(pod, rule.get("onPodConditions") or [])
            if kind:
                said = f"Pod {pod.namespace}/{pod.name} has condition {kind} matching {action} rule at index {index}"
                return Failure(action, said if _fails(action) else "")
    return Failure()


def _fails(action: str) -> bool:
    return action == "FailJob"


def _matching_status(pod: Pod, wanted: Object) -> Object | None:
    for status in (*pod.container_statuses, *pod.init_container_statuses):
        code = ((status.get("state") or {}).get("terminated") or {}).get("exitCode")
        is_meant = wanted.get("containerName") in (None, status["name"])
        if code and is_meant and (code in wanted["values"]) == (wanted["operator"] == "In"):
            return status
    return None


def _matching_condition(pod: Pod, patterns: Iterable[Object]) -> str:
    wanted = {(pattern["type"], pattern.get("status", "True")) for pattern in patterns}
    return next((c["type"] for c in pod.conditions if (c["type"], c["status"]) in wanted), "")


def success_of(job: Job, succeeded: Indexes) -> str:
    """Which rule of the success policy is met, as the condition tells it; empty for none."""
    if not succeeded:
        return ""
    for index, rule in enumerate((job.success_policy or {}).get("rules") or []):
        if _is_met(rule, succeeded, job.completions or 0):
            return f"Matched rules at index {index}"
    return ""


def _is_met(rule: Object, succeeded: Indexes, completions: int) -> bool:
    least = rule.get("succeededCount")
    if "succeededIndexes" not in rule:
        return least is not None and len(succeeded) >= least
    wanted = Indexes.parse(rule["succeededIndexes"], completions)
    common = wanted.common(succeeded)
    return bool(wanted) and (common == len(wanted) or (least is not None and common >= least))
