"""Jobs: defaults of batch/v1, and the selector that the server generates."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, drop_status, keep_status
from apiserver.rules.pods.pod_spec import default_template
from apiserver.rules.pods.template_warnings import update_warnings_of, warnings_of
from apiserver.rules.workloads.job_policies import default_failure_policy
from apiserver.rules.workloads.job_rules import (
    NAME,
    OLD_NAME,
    OLD_UID,
    UID,
    job_errors,
    job_update_errors,
    job_warnings,
)
from apiserver.rules.workloads.job_status import job_status_errors
from apiserver.rules.workloads.workload_rules import name_warnings
from machinery.api.resource import Object


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
    default_failure_policy(spec)
    default_template(spec.get("template"))


def prepare_create(job: Object) -> None:
    """Without manualSelector pods are told apart by the Job's uid (the metadata has it by now)."""
    drop_status(job)
    spec, uid = job["spec"], job["metadata"].get("uid")
    if spec.get("manualSelector") or not uid:
        return
    metadata = spec.setdefault("template", {}).setdefault("metadata", {})
    labels, name = metadata.get("labels") or {}, job["metadata"].get("name", "")
    # A Job without labels has its template's, also those generated here: upstream defaults what it reads back.
    is_shared = job["metadata"].get("labels") is labels or not job["metadata"].get("labels")
    # What the user said of these labels stays, to be refused where it's wrong.
    metadata["labels"] = {OLD_NAME: name, NAME: name, OLD_UID: uid, UID: uid, **labels}
    if is_shared:
        job["metadata"]["labels"] = dict(metadata["labels"])
    selector = spec["selector"] = dict(spec.get("selector") or {})
    selector["matchLabels"] = {UID: uid, **(selector.get("matchLabels") or {})}


def _warnings(job: Object) -> list[str]:
    return [*name_warnings(job), *job_warnings(job.get("spec") or {})]


RULES = Rules(
    default=default,
    prepare_create=prepare_create,
    prepare_update=keep_status,
    validate=job_errors,
    validate_update=job_update_errors,
    validate_status=job_status_errors,
    warnings=warnings_of("spec.template", _warnings),
    update_warnings=update_warnings_of("spec.template", lambda new, old: job_warnings(new.get("spec") or {})),
    has_generation=True,
    selectable_fields=("status.successful",),
)
