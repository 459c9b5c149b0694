"""DaemonSets: defaults of apps/v1."""

from __future__ import annotations

from apiserver.kinds.defaulting import default_values, drop_status, keep_status
from apiserver.kinds.pod_spec import default_template
from apiserver.kinds.rules import Rules
from apiserver.kinds.workload_rules import daemon_set_errors, immutable
from machinery.api.resource import Object


def default(daemon_set: Object) -> None:
    spec = daemon_set.setdefault("spec", {})
    default_values(spec, revisionHistoryLimit=10, updateStrategy={})
    strategy = spec["updateStrategy"]
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        default_values(strategy, rollingUpdate={})
        default_values(strategy["rollingUpdate"], maxUnavailable=1, maxSurge=0)
    default_template(spec.get("template"))


RULES = Rules(
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=daemon_set_errors,
    validate_update=immutable("spec.selector"),
    has_generation=True,
)
