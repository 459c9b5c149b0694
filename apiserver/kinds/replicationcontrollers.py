"""ReplicationControllers: labels and selector come from the template."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, drop_status, keep_status
from apiserver.rules.pods.pod_spec import default_template
from apiserver.rules.pods.template_warnings import update_warnings_of, warnings_of
from apiserver.rules.workloads.workload_rules import controller_errors, name_warnings
from apiserver.rules.workloads.workload_status import controller_status_errors
from machinery.api.resource import Object


def default(controller: Object) -> None:
    spec = controller.setdefault("spec", {})
    default_values(spec, replicas=1)
    default_template(spec.get("template"))
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not controller["metadata"].get("labels"):
            controller["metadata"]["labels"] = dict(labels)


RULES = Rules(
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    has_generation=True,
    validate=controller_errors,
    validate_status=controller_status_errors,
    warnings=warnings_of("spec.template", name_warnings),
    update_warnings=update_warnings_of("spec.template"),
    selectable_fields=("status.replicas",),
)
