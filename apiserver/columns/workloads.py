"""Cells of apps, batch and autoscaling."""

from __future__ import annotations

from datetime import datetime

from apiserver.columns.cell import (
    NONE,
    UNKNOWN,
    UNSET,
    Cell,
    at,
    count,
    first_few,
    holds,
    label_selector,
    labels,
    since,
    template_containers,
    template_images,
)
from apiserver.registry.autoscaler_versions import to_v2
from machinery.api import timestamps
from machinery.api.resource import Object


def _of_template(*path: str) -> dict[str, Cell]:
    return {"Containers": template_containers(*path), "Images": template_images(*path)}


def _selector(obj: Object, now: datetime) -> str:
    return label_selector((obj.get("spec") or {}).get("selector"))


def _ready_of(obj: Object, now: datetime) -> str:
    ready = (obj.get("status") or {}).get("readyReplicas") or 0
    return f"{ready}/{(obj.get('spec') or {}).get('replicas') or 0}"


def _replicas(ready: str = "readyReplicas") -> dict[str, Cell]:
    return {
        "Desired": at("spec", "replicas", default=0),
        "Current": at("status", "replicas", default=0),
        "Ready": at("status", ready, default=0),
    }


_JOB_CONDITIONS = ("Complete", "Failed", "Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet")


def _job_status(job: Object, now: datetime) -> str:
    """The first condition that holds; a deletion is told after those of the end."""
    true = {kind for kind in _JOB_CONDITIONS if holds(job, kind)}
    if job["metadata"].get("deletionTimestamp"):
        true.add("Terminating")
    return next((kind for kind in _JOB_CONDITIONS if kind in true), "Running")


def _completions(job: Object, now: datetime) -> str:
    spec, done = job.get("spec") or {}, (job.get("status") or {}).get("succeeded") or 0
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration(job: Object, now: datetime) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    end = timestamps.parse_time(status["completionTime"]) if status.get("completionTime") else now
    return timestamps.age(timestamps.parse_time(status["startTime"]), end)


def _last_schedule(cron_job: Object, now: datetime) -> str:
    last = (cron_job.get("status") or {}).get("lastScheduleTime")
    return since(last, now) if last else NONE


def _scale_target(autoscaler: Object, now: datetime) -> str:
    target = (autoscaler.get("spec") or {}).get("scaleTargetRef") or {}
    return f"{target.get('kind', '')}/{target.get('name', '')}"


_GO_NIL = "<nil>"
_NO_SHARES = (UNKNOWN, "<auto>")


def _targets(autoscaler: Object, now: datetime) -> str:
    if autoscaler.get("apiVersion") == "autoscaling/v1":
        autoscaler = to_v2(autoscaler)
    metrics = (autoscaler.get("spec") or {}).get("metrics") or []
    current = (autoscaler.get("status") or {}).get("currentMetrics") or []
    if not metrics:
        return NONE
    said = [_target(metric, current[i] if i < len(current) else {}) for i, metric in enumerate(metrics)]
    return first_few(said, 2, separator=", ")


def _target(metric: Object, current: Object) -> str:
    source = metric["type"][:1].lower() + metric["type"][1:]
    wanted, found = metric.get(source) or {}, (current.get(source) or {}).get("current")
    target = wanted.get("target") or {}
    if source not in ("resource", "containerResource"):
        average = " (avg)" if source != "pods" and target.get("averageValue") is not None else ""
        key = "averageValue" if average or source == "pods" else "value"
        # Upstream prints Go's word for a status without the number, but for an average of one object.
        absent = UNKNOWN if found is None or average else _GO_NIL
        return f"{(found or {}).get(key, absent)}/{target.get(key, _GO_NIL)}{average}"
    if target.get("averageValue") is not None:
        now_at = UNKNOWN if found is None else found.get("averageValue", _GO_NIL)
        return f"{wanted.get('name', '')}: {now_at}/{target['averageValue']}"
    shares = ((found or {}).get("averageUtilization"), target.get("averageUtilization"))
    now_at, aim = (f"{share}%" if share is not None else word for share, word in zip(shares, _NO_SHARES, strict=True))
    return f"{wanted.get('name', '')}: {now_at}/{aim}"


def _minimum(autoscaler: Object, now: datetime) -> str:
    least = (autoscaler.get("spec") or {}).get("minReplicas")
    return UNSET if least is None else str(least)


def _controller(revision: Object, now: datetime) -> str:
    for owner in revision["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            group = owner["apiVersion"].partition("/")[0] if "/" in owner["apiVersion"] else ""
            return f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return NONE


_TEMPLATE = _of_template("spec", "template")
_HPA: dict[str, Cell] = {
    "Reference": _scale_target,
    "Targets": _targets,
    "MinPods": _minimum,
    "MaxPods": at("spec", "maxReplicas", default=0),
    "Replicas": at("status", "currentReplicas", default=0),
}
CELLS: dict[str, dict[str, Cell]] = {
    "deployments": {
        "Ready": _ready_of,
        "Up-to-date": at("status", "updatedReplicas", default=0),
        "Available": at("status", "availableReplicas", default=0),
        **_TEMPLATE,
        # Of a selector that selects all upstream tells nothing here alone.
        "Selector": lambda obj, now: _selector(obj, now).replace(NONE, ""),
    },
    "replicasets": {**_replicas(), **_TEMPLATE, "Selector": _selector},
    "replicationcontrollers": {
        **_replicas(),
        **_TEMPLATE,
        "Selector": lambda obj, now: labels((obj.get("spec") or {}).get("selector")),
    },
    "statefulsets": {"Ready": _ready_of, **_TEMPLATE},
    "daemonsets": {
        "Desired": at("status", "desiredNumberScheduled", default=0),
        "Current": at("status", "currentNumberScheduled", default=0),
        "Ready": at("status", "numberReady", default=0),
        "Up-to-date": at("status", "updatedNumberScheduled", default=0),
        "Available": at("status", "numberAvailable", default=0),
        "Node Selector": lambda obj, now: labels(
            (((obj.get("spec") or {}).get("template") or {}).get("spec") or {}).get("nodeSelector")
        ),
        **_TEMPLATE,
        "Selector": _selector,
    },
    "controllerrevisions": {"Controller": _controller, "Revision": at("revision", default=0)},
    "jobs": {
        "Status": _job_status,
        "Completions": _completions,
        "Duration": _duration,
        **_TEMPLATE,
        "Selector": _selector,
    },
    "cronjobs": {
        "Schedule": at("spec", "schedule"),
        "Timezone": at("spec", "timeZone", default=NONE),
        "Suspend": lambda obj, now: str(bool((obj.get("spec") or {}).get("suspend"))),
        "Active": count("status", "active"),
        "Last Schedule": _last_schedule,
        **_of_template("spec", "jobTemplate", "spec", "template"),
        "Selector": lambda obj, now: label_selector(
            (((obj.get("spec") or {}).get("jobTemplate") or {}).get("spec") or {}).get("selector")
        ),
    },
    "horizontalpodautoscalers": _HPA,
    "scales": {"Desired": at("spec", "replicas", default=0), "Available": at("status", "replicas", default=0)},
}
