"""What upstream refuses in Deployments, ReplicaSets, DaemonSets and ReplicationControllers (apps/v1, core/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import forbidden, invalid_value, not_negative, not_supported, required
from apiserver.rules.label_rules import label_selector_errors
from apiserver.rules.workloads.selected_template import (
    always_restarted_errors,
    fit_errors,
    labels_of,
    selected_template_errors,
    selects_all,
)
from apiserver.rules.workloads.share_rules import more_than_all_errors, share, share_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object


def deployment_errors(deployment: Object) -> list[Cause]:
    spec = deployment.get("spec") or {}
    errors = not_negative("spec.replicas", spec.get("replicas"))
    errors += selected_template_errors(spec, "ReplicaSet", called="deployment")
    errors += _strategy_errors(spec.get("strategy") or {})
    errors += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    errors += not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    errors += not_negative("spec.progressDeadlineSeconds", deadline)
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        errors.append(invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def _strategy_errors(strategy: Object) -> Iterator[Cause]:
    kind, rolling, path = strategy.get("type"), strategy.get("rollingUpdate"), "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        if rolling is not None:
            yield forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
    elif kind != "RollingUpdate":
        yield not_supported("spec.strategy", _internal_strategy(strategy), ("Recreate", "RollingUpdate"))
    elif rolling is None:
        yield required(path, "this should be defaulted and never be nil")
    else:
        missing, extra = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        yield from share_errors(missing, f"{path}.maxUnavailable")
        yield from share_errors(extra, f"{path}.maxSurge")
        if share(missing) == 0 and share(extra) == 0:
            yield invalid_value(f"{path}.maxUnavailable", missing or 0, "may not be 0 when `maxSurge` is 0")
        yield from more_than_all_errors(missing, f"{path}.maxUnavailable")


def _internal_strategy(strategy: Object) -> Object:
    rolling = strategy.get("rollingUpdate")
    if rolling is not None:
        rolling = {"MaxUnavailable": rolling.get("maxUnavailable") or 0, "MaxSurge": rolling.get("maxSurge") or 0}
    return {"Type": strategy.get("type") or "", "RollingUpdate": rolling}


def replica_set_errors(replica_set: Object) -> list[Cause]:
    spec = replica_set.get("spec") or {}
    errors = not_negative("spec.replicas", spec.get("replicas"))
    errors += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    return [*errors, *selected_template_errors(spec, "ReplicaSet", called="deployment")]


def daemon_set_errors(daemon_set: Object) -> list[Cause]:
    spec = daemon_set.get("spec") or {}
    selector, template = spec.get("selector"), spec.get("template") or {}
    errors = list(label_selector_errors(selector, "spec.selector"))
    if not errors:
        errors += fit_errors(selector, labels_of(template))
    if selects_all(selector):
        errors.append(invalid_value("spec.selector", selector, "empty selector is invalid for daemonset"))
    errors += always_restarted_errors(template, "DaemonSet")
    errors += not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    errors += _daemon_strategy_errors(spec.get("updateStrategy") or {})
    return errors + not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))


def _daemon_strategy_errors(strategy: Object) -> Iterator[Cause]:
    """Either some pods are missing during an update, or some are there twice."""
    kind, rolling, path = strategy.get("type"), strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        yield not_supported("spec.updateStrategy", _internal_strategy(strategy), ("RollingUpdate", "OnDelete"))
    elif rolling is None:
        yield required(path)
    else:
        missing, extra = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        for check in (share_errors, more_than_all_errors):
            yield from check(missing, f"{path}.maxUnavailable")
            yield from check(extra, f"{path}.maxSurge")
        if share(missing) and share(extra):
            yield invalid_value(f"{path}.maxSurge", extra, "may not be set when maxUnavailable is non-zero")
        elif not share(missing) and not share(extra):
            yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def controller_errors(controller: Object) -> list[Cause]:
    """A ReplicationController's: its selector is a plain map."""
    spec = controller.get("spec") or {}
    selector, template = spec.get("selector") or {}, spec.get("template")
    errors = not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    if not selector:
        errors.append(required("spec.selector"))
    if spec.get("replicas") is None:
        errors.append(required("spec.replicas"))
    errors += not_negative("spec.replicas", spec.get("replicas"))
    if template is None:
        return [*errors, required("spec.template")]
    if selector:
        errors += fit_errors({"matchLabels": selector}, labels_of(template))
    return [*errors, *always_restarted_errors(template, "ReplicationController")]


def name_warnings(workload: Object) -> list[str]:
    """Names that are no DNS labels are odd ones for pods, which take them up."""
    complaints = names.dns_label(workload["metadata"].get("name") or "")
    if not complaints:
        return []
    return [
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label"
        f" is recommended: [{' '.join(complaints)}]"
    ]
