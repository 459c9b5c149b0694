"""A Job's pods: what tells them apart, how they are made, when they ended, and which go first.

The finalizer keeps a pod until the Job has counted it, so that no pod that goes is forgotten or counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from controllers.plan import Patch, key_of, owner_reference
from controllers.pods import pod_from_template, usefulness
from machinery.api.resource import Object
from machinery.api.resources import JOBS, PODS
from machinery.api.timestamps import parse_time
from machinery.api.views import Job, Pod

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
NO_INDEX = -1


def is_ours(job: Job) -> bool:
    """Whether it is not another's to manage (KEP-4368)."""
    return job.managed_by in ("", "kubernetes.io/job-controller")


def is_tracked(pod: Pod) -> bool:
    """Whether it is still to be counted."""
    return TRACKING in pod.finalizers


def is_terminating(pod: Pod) -> bool:
    return bool(pod.deleted) and not pod.is_finished


def replaces_failed_only(job: Job) -> bool:
    """Whether a pod that is being deleted is replaced only once it has ended."""
    return job.pod_replacement_policy == "Failed" or job.pod_failure_policy is not None


def is_failed(job: Job, pod: Pod) -> bool:
    """Also a pod that is being deleted has failed, unless it is waited for: it may never reach the phase."""
    if pod.phase == "Failed":
        return True
    return not replaces_failed_only(job) and bool(pod.deleted) and pod.phase != "Succeeded"


def index_of(pod: Pod) -> int:
    text = pod.annotations.get(INDEX, "")
    return int(text) if text.isdigit() else NO_INDEX


def has_index_of(job: Job, pod: Pod) -> bool:
    """Whether its index is one of an indexed Job's; of another Job every pod counts."""
    return not job.is_indexed or 0 <= index_of(pod) < (job.completions or 0)


def index_failures(pod: Pod) -> tuple[int, int]:
    """How often its index had failed before it was made: (counted, ignored by the pod failure policy)."""
    texts = (pod.annotations.get(name, "") for name in (FAILURES, IGNORED_FAILURES))
    counted, ignored = (int(text) if text.isdigit() else 0 for text in texts)
    return counted, ignored


def made_pod(job: Job) -> Object:
    made = pod_from_template(job.template, job.obj, owner_reference(JOBS, job.obj))
    metadata = made["metadata"]
    metadata["finalizers"] = [*(name for name in metadata.get("finalizers") or [] if name != TRACKING), TRACKING]
    return made


def made_pod_of_index(job: Job, index: int, failures: tuple[int, int] | None) -> Object:
    """`failures` are written to the pod where they are counted by the index."""
    made = made_pod(job)
    metadata, spec = made["metadata"], made["spec"]
    annotations = {**(metadata.get("annotations") or {}), INDEX: str(index)}
    if failures is not None:
        counted, ignored = failures
        annotations[FAILURES] = str(counted)
        if ignored:
            annotations[IGNORED_FAILURES] = str(ignored)
    named = {
        "generateName": f"{job.name}-{index}-",
        "annotations": annotations,
        "labels": {**(metadata.get("labels") or {}), INDEX: str(index)},
    }
    containers = {
        field: [_told_index(container) for container in spec[field]]
        for field in ("initContainers", "containers")
        if spec.get(field)
    }
    return {
        **made,
        "metadata": {**metadata, **named},
        "spec": {**spec, **containers, "hostname": f"{job.name}-{index}"},
    }


def _told_index(container: Object) -> Object:
    """The container with its index in JOB_COMPLETION_INDEX."""
    environment = container.get("env") or []
    if any(entry.get("name") == "JOB_COMPLETION_INDEX" for entry in environment):
        return container
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    return {**container, "env": [*environment, {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]}


def untracked(pod: Pod) -> Patch:
    """Lets a pod go: it is counted, or never will be."""
    metadata = {"uid": pod.uid, "$deleteFromPrimitiveList/finalizers": [TRACKING]}
    return Patch(PODS, key_of(pod.obj), {"metadata": metadata}, is_strategic=True)


def adopted(job: Job, pod: Pod) -> Patch:
    references = [*pod.owner_references, owner_reference(JOBS, job.obj)]
    finalizers = pod.finalizers if is_tracked(pod) else [*pod.finalizers, TRACKING]
    return Patch(
        PODS,
        key_of(pod.obj),
        {"metadata": {"uid": pod.uid, "ownerReferences": references, "finalizers": finalizers}},
    )


def released(job: Job, pod: Pod) -> Patch:
    references = [each for each in pod.owner_references if each["uid"] != job.uid]
    finalizers = [name for name in pod.finalizers if name != TRACKING]
    metadata = {"uid": pod.uid, "ownerReferences": references or None, "finalizers": finalizers or None}
    return Patch(PODS, key_of(pod.obj), {"metadata": metadata})


def surplus(job: Job, active: Iterable[Pod], least: int) -> list[Pod]:
    """The pods to delete, at least so many: those without a right to an index and doubles, then the least useful."""
    gone: list[Pod] = []
    left = list(active)
    if job.is_indexed:
        by_index: dict[int, list[Pod]] = {}
        for pod in left:
            by_index.setdefault(index_of(pod), []).append(pod)
        left = []
        for alike in by_index.values():
            ranked = sorted(alike, key=usefulness) if len(alike) > 1 else alike
            kept = ranked[-1:] if has_index_of(job, ranked[-1]) else []
            gone += ranked[: len(ranked) - len(kept)]
            left += kept
    if len(gone) >= least:
        return gone
    return gone + sorted(left, key=usefulness)[: least - len(gone)]


def finished_at(pod: Pod) -> datetime:
    """When its last container ended; failing that, when it was no longer ready, was deleted or made."""
    states = [(status.get("state") or {}).get("terminated") or {} for status in pod.container_statuses]
    ends = [parse_time(state["finishedAt"]) for state in states if state.get("finishedAt")]
    if ends and len(ends) == len(states):
        return max(ends)
    ready = pod.condition("Ready") or {}
    if ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return parse_time(ready["lastTransitionTime"])
    if pod.deleted:
        return parse_time(pod.deleted) - timedelta(seconds=pod.deletion_grace_seconds)
    return parse_time(pod.created)
