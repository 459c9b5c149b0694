"""What upstream refuses in Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs (apps and batch validation)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from apiserver.kinds.field_errors import all_of, forbidden, invalid_value, not_negative, one_of, required
from apiserver.kinds.pod_rules import template_errors
from machinery.api import names, selectors
from machinery.api.errors import Cause
from machinery.api.resource import Object

_ALWAYS = ("Always",)
_IMMUTABLE = "field is immutable"


def deployment_errors(deployment: Object) -> list[Cause]:
    spec = deployment.get("spec") or {}
    errors = [*not_negative("spec.replicas", spec.get("replicas")), *_selected_template(spec, "spec")]
    errors += _strategy_errors(spec.get("strategy") or {}, "spec.strategy")
    errors += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    errors += not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    errors += not_negative("spec.progressDeadlineSeconds", deadline)
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        errors.append(invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def replica_set_errors(replica_set: Object) -> list[Cause]:
    spec = replica_set.get("spec") or {}
    errors = not_negative("spec.replicas", spec.get("replicas"))
    errors += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    return [*errors, *_selected_template(spec, "spec")]


def daemon_set_errors(daemon_set: Object) -> list[Cause]:
    spec = daemon_set.get("spec") or {}
    errors = [*_selected_template(spec, "spec", "daemonset")]
    strategy = spec.get("updateStrategy") or {}
    errors += one_of("spec.updateStrategy", strategy.get("type"), ("RollingUpdate", "OnDelete"))
    return errors + not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))


def stateful_set_errors(stateful_set: Object) -> list[Cause]:
    spec = stateful_set.get("spec") or {}
    errors = not_negative("spec.replicas", spec.get("replicas"))
    errors += one_of("spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel"))
    return [*errors, *_selected_template(spec, "spec", "statefulset")]


def controller_errors(controller: Object) -> list[Cause]:
    """A ReplicationController's: its selector is a plain map."""
    spec, template = controller.get("spec") or {}, (controller.get("spec") or {}).get("template")
    errors = not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    if not spec.get("selector"):
        errors.append(required("spec.selector"))
    errors += not_negative("spec.replicas", spec.get("replicas"))
    if template is None:
        return [*errors, required("spec.template")]
    labels = (template.get("metadata") or {}).get("labels") or {}
    if spec.get("selector") and not spec["selector"].items() <= labels.items():
        detail = "`selector` does not match template `labels`"
        errors.append(invalid_value("spec.template.metadata.labels", labels, detail))
    return [*errors, *template_errors(template, "spec.template", restart=_ALWAYS)]


def job_errors(job: Object) -> list[Cause]:
    return job_spec_errors(job.get("spec") or {}, "spec")


def job_spec_errors(spec: Object, path: str) -> list[Cause]:
    errors: list[Cause] = []
    for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"):
        errors += not_negative(f"{path}.{field}", spec.get(field))
    if spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
    errors += template_errors(spec.get("template"), f"{path}.template", restart=("OnFailure", "Never"))
    return errors


def job_update_errors(new: Object, old: Object) -> list[Cause]:
    """Completions move with the parallelism of an indexed Job alone; a suspended Job's pods may be placed anew."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    errors: list[Cause] = []
    completions = spec.get("completions")
    if completions != before.get("completions"):
        if spec.get("completionMode") != "Indexed" or None in (completions, before.get("completions")):
            errors.append(invalid_value("spec.completions", completions, _IMMUTABLE))
        elif completions != spec.get("parallelism") or spec.get("parallelism") == before.get("parallelism"):
            detail = "can only be modified in tandem with spec.parallelism"
            errors.append(invalid_value("spec.completions", completions, detail))
    errors += immutable("spec.selector")(new, old)
    if _placeable(spec, before, old.get("status") or {}) != before.get("template"):
        errors.append(invalid_value("spec.template", spec.get("template"), _IMMUTABLE))
    fixed = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
    return errors + immutable(*(f"spec.{field}" for field in fixed))(new, old)


def _placeable(spec: Object, before: Object, status: Object) -> Any:
    """The new template with what a suspended Job without pods may change put back as it was."""
    template, was = spec.get("template") or {}, before.get("template") or {}
    if not before.get("suspend") or status.get("startTime"):
        return template
    metadata, pod = dict(template.get("metadata") or {}), dict(template.get("spec") or {})
    for changed, kept, fields in (
        (metadata, was.get("metadata") or {}, ("labels", "annotations")),
        (pod, was.get("spec") or {}, ("nodeSelector", "affinity", "tolerations", "schedulingGates")),
    ):
        for field in fields:
            changed.pop(field, None)
            if field in kept:
                changed[field] = kept[field]
    return {**template, "metadata": metadata, "spec": pod} if "metadata" in was else {**template, "spec": pod}


def immutable(*paths: str) -> Callable[[Object, Object], list[Cause]]:
    """A rule for updates: the values at these dotted paths stay as they are."""

    def errors(new: Object, old: Object) -> list[Cause]:
        return [invalid_value(path, value, _IMMUTABLE) for path in paths if (value := _at(new, path)) != _at(old, path)]

    return errors


def _at(obj: Object, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def stateful_set_update_errors(new: Object, old: Object) -> list[Cause]:
    allowed = (
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    )
    kept = [{k: v for k, v in (obj.get("spec") or {}).items() if k not in allowed} for obj in (new, old)]
    if kept[0] == kept[1]:
        return []
    listed = ", ".join(f"'{name}'" for name in allowed[:-1])
    detail = f"updates to statefulset spec for fields other than {listed} and '{allowed[-1]}' are forbidden"
    return [forbidden("spec", detail)]


def _selected_template(spec: Object, path: str, kind: str = "deployment") -> Iterator[Cause]:
    """Selector and template, which must fit together; `kind` is what upstream calls it where the selector is empty."""
    selector, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    does_match = True
    if selector is None:
        # What selects nothing doesn't select the template either, and upstream says both.
        yield required(f"{path}.selector")
        does_match = False
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid_value(f"{path}.selector", selector, f"empty selector is invalid for {kind}")
    else:
        yield from selector_errors(selector, f"{path}.selector")
        does_match = selectors.from_label_selector(selector).matches(labels or {})
    if not does_match:
        detail = "`selector` does not match template `labels`"
        yield invalid_value(f"{path}.template.metadata.labels", labels, detail)
    yield from template_errors(template, f"{path}.template", restart=_ALWAYS)


def selector_errors(selector: Object, path: str) -> Iterator[Cause]:
    for key, value in (selector.get("matchLabels") or {}).items():
        yield from all_of(f"{path}.matchLabels", key, names.qualified_name(key))
        yield from all_of(f"{path}.matchLabels", value, names.label_value(value))
    for index, entry in enumerate(selector.get("matchExpressions") or []):
        where, operator, values = f"{path}.matchExpressions[{index}]", entry.get("operator"), entry.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                yield forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            yield invalid_value(f"{where}.operator", operator, "not a valid selector operator")
        yield from all_of(f"{where}.key", entry.get("key", ""), names.qualified_name(entry.get("key", "")))


def _strategy_errors(strategy: Object, path: str) -> Iterator[Cause]:
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate":
        if rolling is not None:
            yield forbidden(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
        return
    yield from one_of(f"{path}.type", strategy.get("type"), ("Recreate", "RollingUpdate"))
    if rolling is None:
        return
    yield from share_errors(rolling.get("maxUnavailable"), f"{path}.rollingUpdate.maxUnavailable")
    yield from share_errors(rolling.get("maxSurge"), f"{path}.rollingUpdate.maxSurge")
    if _number(rolling.get("maxUnavailable")) == 0 and _number(rolling.get("maxSurge")) == 0:
        detail = "may not be 0 when `maxSurge` is 0"
        yield invalid_value(f"{path}.rollingUpdate.maxUnavailable", rolling.get("maxUnavailable"), detail)


def share_errors(value: Any, path: str) -> Iterator[Cause]:
    if isinstance(value, str):
        yield from all_of(path, value, names.percent(value))
    else:
        yield from not_negative(path, value)


def _number(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value[:-1]) if value.endswith("%") and value[:-1].isdigit() else None
    return value if isinstance(value, int) else None
