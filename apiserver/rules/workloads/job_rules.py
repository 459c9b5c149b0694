"""What upstream refuses in Jobs and the Jobs of CronJobs (batch/v1 validation), and what of them may change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver.rules.defaulting import take_field
from apiserver.rules.field_errors import invalid_value, not_negative, not_supported, required, too_long
from apiserver.rules.immutability import IMMUTABLE, immutable
from apiserver.rules.label_rules import label_selector_errors
from apiserver.rules.name_rules import domain_path_errors
from apiserver.rules.pods.pod_rules import template_errors
from apiserver.rules.workloads.job_policies import (
    failure_policy_errors,
    internal_failure_policy,
    internal_success_policy,
    success_policy_errors,
)
from apiserver.rules.workloads.selected_template import fit_errors, labels_of
from machinery.api import names, selectors
from machinery.api.errors import Cause
from machinery.api.resource import Object

UID, NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
OLD_UID, OLD_NAME = "controller-uid", "job-name"
_MOST_INDEXED, _MANY, _MOST_OF_MANY, _LONGEST_MANAGER = 100_000, 100_000, 10_000, 63
_COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
_MODES, _REPLACEMENTS = ("NonIndexed", "Indexed"), ("Failed", "TerminatingOrFailed")


def job_errors(job: Object) -> list[Cause]:
    spec, name = job.get("spec") or {}, job["metadata"].get("name") or ""
    selector = spec.get("selector")
    errors = [] if spec.get("manualSelector") or selector is None else list(_generated_errors(job, spec))
    errors += job_spec_errors(spec, "spec")
    wrong = list(label_selector_errors(selector, "spec.selector"))
    errors += [required("spec.selector")] if selector is None else wrong
    if not wrong:
        errors += fit_errors(selector, labels_of(spec.get("template") or {}))
    if spec.get("completionMode") == "Indexed" and (spec.get("completions") or 0) > 0:
        host = f"{name}-{spec['completions'] - 1}"
        if names.dns_label(host):
            detail = f"will not able to create pod with invalid DNS label: {host}"
            errors.append(invalid_value("metadata.name", name, detail))
    return errors


def _generated_errors(job: Object, spec: Object) -> Iterator[Cause]:
    """The selector that the server made is the Job's own, and so are the labels that go with it."""
    uid, name = job["metadata"].get("uid") or "", job["metadata"].get("name") or ""
    labels = labels_of(spec.get("template") or {}) or {}
    if not uid:
        yield required("metadata.uid")
    expected = {OLD_UID: uid, OLD_NAME: name, UID: uid, NAME: name}
    for key, value in expected.items():
        where = f"spec.template.metadata.labels[{key}]"
        if key not in labels:
            yield required(where, f"must be '{value}'")
        elif labels[key] != value:
            yield invalid_value(where, labels, f"must be '{value}'")
    selector = spec["selector"]
    if not any(label_selector_errors(selector, "")) and not selectors.from_label_selector(selector).matches(expected):
        yield invalid_value("spec.selector", selector, "`selector` not auto-generated")


def job_spec_errors(spec: Object, path: str) -> Iterator[Cause]:
    for field in _COUNTS:
        if spec.get(field) is not None:
            yield from not_negative(f"{path}.{field}", spec[field])
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if spec.get("managedBy") is not None:
        yield from _manager_errors(spec["managedBy"], f"{path}.managedBy")
    yield from _mode_errors(spec, path)
    if spec.get("podFailurePolicy") is not None:
        yield from failure_policy_errors(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        yield from _success_errors(spec, f"{path}.successPolicy")
    replacement = spec.get("podReplacementPolicy")
    supported = _REPLACEMENTS if spec.get("podFailurePolicy") is None else ("Failed",)
    if replacement is not None and replacement not in supported:
        yield not_supported(f"{path}.podReplacementPolicy", replacement, supported)
    yield from template_errors(spec.get("template"), f"{path}.template")
    yield from _restart_errors(spec, f"{path}.template.spec.restartPolicy")


def _manager_errors(manager: str, path: str) -> Iterator[Cause]:
    yield from domain_path_errors(manager, path)
    if len(manager.encode()) > _LONGEST_MANAGER:
        yield too_long(path, _LONGEST_MANAGER)


def _mode_errors(spec: Object, path: str) -> Iterator[Cause]:
    mode, completions, parallelism = spec.get("completionMode"), spec.get("completions"), spec.get("parallelism")
    if mode is not None and mode not in _MODES:
        yield not_supported(f"{path}.completionMode", mode, _MODES)
    if mode == "Indexed":
        if completions is None:
            yield required(f"{path}.completions", "when completion mode is Indexed")
        if (parallelism or 0) > _MOST_INDEXED:
            detail = f"must be less than or equal to {_MOST_INDEXED} when completion mode is Indexed"
            yield invalid_value(f"{path}.parallelism", parallelism, detail)
        if spec.get("backoffLimitPerIndex") is not None or spec.get("maxFailedIndexes") is not None:
            yield from _failed_index_errors(spec, path)
    elif mode in (None, "NonIndexed"):
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(field) is not None:
                yield invalid_value(f"{path}.{field}", spec[field], "requires indexed completion mode")


def _failed_index_errors(spec: Object, path: str) -> Iterator[Cause]:
    most, completions, parallelism = spec.get("maxFailedIndexes"), spec.get("completions"), spec.get("parallelism")
    where = f"{path}.maxFailedIndexes"
    if most is not None and completions is not None and most > completions:
        yield invalid_value(where, most, "must be less than or equal to completions")
    if most is not None and most > _MOST_INDEXED:
        yield invalid_value(where, most, f"must be less than or equal to {_MOST_INDEXED}")
    if (completions or 0) <= _MANY or spec.get("backoffLimitPerIndex") is None:
        return
    detail = (
        f"must be less than or equal to {_MOST_OF_MANY} when completions are above {_MANY} and used with backoff limit"
        " per index"
    )
    if most is None:
        yield required(where, f"must be specified when completions is above {_MANY}")
    if (parallelism or 0) > _MOST_OF_MANY:
        yield invalid_value(f"{path}.parallelism", parallelism, detail)
    if most is not None and most > _MOST_OF_MANY:
        yield invalid_value(where, most, detail)


def _success_errors(spec: Object, path: str) -> Iterator[Cause]:
    if spec.get("completionMode") == "Indexed":
        yield from success_policy_errors(spec, path)
    else:
        shown = internal_success_policy(spec["successPolicy"])
        yield invalid_value(path, shown, "requires indexed completion mode")


def _restart_errors(spec: Object, path: str) -> Iterator[Cause]:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") or ""
    if policy in ("", "Always"):
        yield required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield not_supported(path, policy, ("OnFailure", "Never"))
    elif policy != "Never" and spec.get("podFailurePolicy") is not None:
        yield invalid_value(path, policy, 'only "Never" is supported when podFailurePolicy is specified')


_FIXED = (
    ("completionMode", lambda value: value),
    ("podFailurePolicy", internal_failure_policy),
    ("backoffLimitPerIndex", lambda value: value),
    ("managedBy", lambda value: value),
    ("successPolicy", internal_success_policy),
)


def job_update_errors(new: Object, old: Object) -> list[Cause]:
    """Completions move with the parallelism of an indexed Job alone; a suspended Job's pods may be placed anew."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    errors = [*_completion_errors(spec, before), *immutable("spec.selector")(new, old)]
    template = spec.get("template") or {}
    if template != _with_changes(template, before, old.get("status") or {}):
        errors.append(invalid_value("spec.template", internal_template(template), IMMUTABLE))
    for field, shown in _FIXED:
        if spec.get(field) != before.get(field):
            errors.append(invalid_value(f"spec.{field}", shown(spec.get(field)), IMMUTABLE))
    return errors


def _completion_errors(spec: Object, before: Object) -> Iterator[Cause]:
    completions = spec.get("completions")
    if completions == before.get("completions"):
        return
    if spec.get("completionMode") != "Indexed":
        yield invalid_value("spec.completions", completions, IMMUTABLE)
    elif completions is not None and completions != spec.get("parallelism"):
        yield invalid_value("spec.completions", completions, "can only be modified in tandem with spec.parallelism")


def _with_changes(template: Object, before: Object, status: Object) -> Any:
    """The old template with what may change of it taken from the new one: all that places a Job that never ran,
    the resources of a suspended one's containers (KEP-2926, KEP-5440)."""
    was = before.get("template") or {}
    if not before.get("suspend"):
        return was
    pod, metadata = dict(was.get("spec") or {}), dict(was.get("metadata") or {})
    wanted, told = template.get("spec") or {}, template.get("metadata") or {}
    if not status.get("startTime"):
        for field in ("nodeSelector", "tolerations", "schedulingGates"):
            take_field(pod, wanted, field)
        for field in ("labels", "annotations"):
            take_field(metadata, told, field)
        _take_node_affinity(pod, wanted)
    for part in ("containers", "initContainers"):
        if part in pod and len(pod[part]) == len(wanted.get(part) or ()):
            pod[part] = [_with_resources(one, other) for one, other in zip(pod[part], wanted[part], strict=True)]
    merged = {**was, "spec": pod}
    if metadata or "metadata" in template:
        merged["metadata"] = metadata
    return merged


def _take_node_affinity(pod: Object, wanted: Object) -> None:
    """Only what is about nodes may change of the affinity."""
    affinity = dict(pod.get("affinity") or {})
    take_field(affinity, wanted.get("affinity") or {}, "nodeAffinity")
    pod.pop("affinity", None)
    if affinity or "affinity" in wanted:
        pod["affinity"] = affinity


def _with_resources(container: Object, wanted: Object) -> Object:
    if container.get("name") != wanted.get("name"):
        return container
    changed = dict(container)
    take_field(changed, wanted, "resources")
    return changed


def internal_template(template: Object) -> Object:
    """A template as upstream's errors show it."""
    from apiserver.rules.pods.internal_types import internal_pod_spec

    metadata = template.get("metadata") or {}
    shown = {field: metadata[field] for field in ("name", "namespace", "labels", "annotations") if metadata.get(field)}
    return {**shown, "Spec": internal_pod_spec(template.get("spec") or {})}


def job_warnings(spec: Object) -> list[str]:
    if spec.get("completionMode") != "Indexed":
        return []
    if (spec.get("completions") or 0) <= _MANY or (spec.get("parallelism") or 0) <= _MOST_OF_MANY:
        return []
    return [
        "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes"
        " might not be able to track completedIndexes when a big number of indexes fail"
    ]
