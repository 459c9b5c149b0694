"""Jobs: defaults of batch/v1, and the selector that the server generates."""

from __future__ import annotations

from apiserver.kinds.defaulting import default_values, drop_status, keep_status
from apiserver.kinds.pod_spec import default_template
from apiserver.kinds.rules import Rules
from apiserver.kinds.workload_rules import job_errors, job_update_errors
from machinery.api.resource import Object

_UID, _NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"


def default(job: Object) -> None:
    spec = job.setdefault("spec", {})
    default_job_spec(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if labels and not job["metadata"].get("labels"):
        # Shared with the template, as upstream's are: what is generated into the one shows in the other.
        job["metadata"]["labels"] = labels
    default_values(spec, manualSelector=False)


def default_job_spec(spec: Object) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    policy = "Failed" if spec.get("podFailurePolicy") is not None else "TerminatingOrFailed"
    limit = 2147483647 if spec.get("backoffLimitPerIndex") is not None else 6
    default_values(
        spec,
        parallelism=1,
        backoffLimit=limit,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy=policy,
    )
    default_template(spec.get("template"))


def prepare_create(job: Object) -> None:
    """Without manualSelector pods are told apart by the Job's uid (the metadata has it by now)."""
    drop_status(job)
    spec, uid = job["spec"], job["metadata"].get("uid")
    if spec.get("manualSelector") or not uid:
        return
    metadata = spec.setdefault("template", {}).setdefault("metadata", {})
    labels, name = metadata.get("labels") or {}, job["metadata"].get("name", "")
    is_shared = job["metadata"].get("labels") is labels
    metadata["labels"] = {**labels, _UID: uid, "controller-uid": uid, _NAME: name, "job-name": name}
    if is_shared:
        job["metadata"]["labels"] = dict(metadata["labels"])
    spec["selector"] = {"matchLabels": {_UID: uid}}


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    validate=job_errors,
    validate_update=job_update_errors,
    has_generation=True,
    selectable_fields=("status.successful",),
)
