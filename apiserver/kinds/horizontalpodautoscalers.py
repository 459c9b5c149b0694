"""HorizontalPodAutoscalers of autoscaling/v2, the stored version."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from apiserver.kinds.rules import Rules
from apiserver.registry.autoscaler_versions import without_round_trip
from apiserver.rules.defaulting import default_values, drop_status, keep_status
from apiserver.rules.workloads.autoscaler_rules import autoscaler_errors, autoscaler_status_errors
from machinery.api.resource import Object
from machinery.features import HPA_SCALE_TO_ZERO
from machinery.structs import replace

_CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
_UP = [
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
]
_DOWN = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


def default(autoscaler: Object) -> None:
    autoscaler["metadata"] = without_round_trip(autoscaler["metadata"])
    spec = autoscaler.setdefault("spec", {})
    default_values(spec, minReplicas=1)
    if not spec.get("metrics"):
        default_values(spec, metrics=[_CPU])
        spec["metrics"] = spec["metrics"] or [_CPU]
    behavior = spec.get("behavior")
    if behavior is not None:
        default_values(behavior, scaleUp={}, scaleDown={})
        default_values(behavior["scaleUp"], stabilizationWindowSeconds=0, selectPolicy="Max", policies=_UP)
        default_values(behavior["scaleDown"], selectPolicy="Max", policies=_DOWN)


def _gated(features: Mapping[str, bool]) -> Rules:
    errors = partial(autoscaler_errors, to_zero=features[HPA_SCALE_TO_ZERO])
    return replace(RULES, validate=errors, validate_update=errors)


RULES = Rules(
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=autoscaler_errors,
    validate_update=autoscaler_errors,
    validate_status=autoscaler_status_errors,
    rechecked="never",
    gated=_gated,
)
