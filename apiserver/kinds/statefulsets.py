"""StatefulSets: defaults of apps/v1, their claim templates included."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, drop_status, keep_status
from apiserver.rules.pods.pod_spec import default_template
from apiserver.rules.pods.template_warnings import update_warnings_of, warnings_of
from apiserver.rules.workloads.stateful_rules import (
    stateful_set_errors,
    stateful_set_update_errors,
    stateful_set_warnings,
)
from apiserver.rules.workloads.workload_status import stateful_set_status_errors
from machinery.api.resource import Object


def default(stateful_set: Object) -> None:
    spec = stateful_set.setdefault("spec", {})
    default_values(spec, replicas=1, revisionHistoryLimit=10, updateStrategy={})
    spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
    strategy = spec["updateStrategy"]
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        default_values(strategy, rollingUpdate={})
        default_values(strategy["rollingUpdate"], partition=0)
    default_values(spec, persistentVolumeClaimRetentionPolicy={})
    default_values(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    default_template(spec.get("template"))
    for claim in spec.get("volumeClaimTemplates") or []:
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        default_values(claim.setdefault("spec", {}), volumeMode="Filesystem")
        claim.setdefault("status", {}).setdefault("phase", "Pending")


RULES = Rules(
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=stateful_set_errors,
    validate_update=stateful_set_update_errors,
    rechecked="never",
    validate_status=stateful_set_status_errors,
    warnings=warnings_of("spec.template", stateful_set_warnings),
    update_warnings=update_warnings_of("spec.template", lambda new, old: stateful_set_warnings(new)),
    has_generation=True,
)
