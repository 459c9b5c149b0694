"""Deployments: defaults of apps/v1."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, drop_status, keep_status
from apiserver.rules.immutability import immutable
from apiserver.rules.pods.pod_spec import default_template
from apiserver.rules.pods.template_warnings import update_warnings_of, warnings_of
from apiserver.rules.workloads.workload_rules import deployment_errors, name_warnings
from apiserver.rules.workloads.workload_status import deployment_status_errors
from machinery.api.resource import Object


def default(deployment: Object) -> None:
    spec = deployment.setdefault("spec", {})
    default_values(spec, replicas=1, strategy={}, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec["strategy"]
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        default_values(strategy, rollingUpdate={})
        default_values(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    default_template(spec.get("template"))


RULES = Rules(
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=deployment_errors,
    validate_update=immutable("spec.selector"),
    validate_status=deployment_status_errors,
    warnings=warnings_of("spec.template", name_warnings),
    update_warnings=update_warnings_of("spec.template"),
    has_generation=True,
)
