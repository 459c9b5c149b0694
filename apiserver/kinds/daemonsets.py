"""DaemonSets: defaults of apps/v1."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, drop_status, keep_status
from apiserver.rules.immutability import immutable
from apiserver.rules.pods.pod_spec import default_template
from apiserver.rules.pods.template_warnings import update_warnings_of, warnings_of
from apiserver.rules.workloads.workload_rules import daemon_set_errors
from apiserver.rules.workloads.workload_status import daemon_set_status_errors
from machinery.api.resource import Object

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""An annotation in v1, a field in the versions before it."""


def default(daemon_set: Object) -> None:
    spec = daemon_set.setdefault("spec", {})
    default_values(spec, revisionHistoryLimit=10, updateStrategy={})
    strategy = spec["updateStrategy"]
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        default_values(strategy, rollingUpdate={})
        default_values(strategy["rollingUpdate"], maxUnavailable=1, maxSurge=0)
    default_template(spec.get("template"))


def _first_generation(daemon_set: Object) -> None:
    drop_status(daemon_set)
    _set_generation(daemon_set, 1)


def _next_generation(daemon_set: Object, before: Object) -> None:
    """The template's generation is the server's alone to count."""
    keep_status(daemon_set, before)
    text = (before["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "")
    generation = int(text) if text.isdigit() else 0
    is_changed = daemon_set["spec"].get("template") != before["spec"].get("template")
    _set_generation(daemon_set, generation + is_changed)


def _set_generation(daemon_set: Object, generation: int) -> None:
    metadata = daemon_set["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), TEMPLATE_GENERATION: str(generation)}


RULES = Rules(
    default=default,
    prepare_create=_first_generation,
    prepare_update=_next_generation,
    validate=daemon_set_errors,
    validate_update=immutable("spec.selector"),
    validate_status=daemon_set_status_errors,
    warnings=warnings_of("spec.template"),
    update_warnings=update_warnings_of("spec.template"),
    has_generation=True,
)
