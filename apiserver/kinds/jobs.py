"""Jobs: defaults of batch/v1, and the selector that the server generates."""

from __future__ import annotations

from apiserver.kinds.defaulting import default_values, drop_status, keep_status
from apiserver.kinds.pod_spec import default_template
from apiserver.kinds.rules import Rules
from apiserver.kinds.workload_rules import immutable, job_errors
from machinery.api.resource import Object

_UID, _NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"


def default(job: Object) -> None:
    spec = job.setdefault("spec", {})
    default_job_spec(spec)
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(labels)


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
    labels = metadata["labels"] = dict(metadata.get("labels") or {})
    name = job["metadata"].get("name", "")
    labels |= {_UID: uid, "controller-uid": uid, _NAME: name, "job-name": name}
    spec["selector"] = {"matchLabels": {_UID: uid}}


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    validate=job_errors,
    validate_update=immutable("spec.completionMode", "spec.selector", "spec.template"),
    has_generation=True,
    selectable_fields=("status.successful",),
)
