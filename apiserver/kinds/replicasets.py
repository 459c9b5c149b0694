"""ReplicaSets: defaults of apps/v1."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import default_values, drop_status, keep_status
from apiserver.rules.immutability import immutable
from apiserver.rules.pods.pod_spec import default_template
from apiserver.rules.pods.template_warnings import update_warnings_of, warnings_of
from apiserver.rules.workloads.workload_rules import name_warnings, replica_set_errors
from apiserver.rules.workloads.workload_status import replica_set_status_errors
from machinery.api.resource import Object


def default(replica_set: Object) -> None:
    spec = replica_set.setdefault("spec", {})
    default_values(spec, replicas=1)
    default_template(spec.get("template"))


RULES = Rules(
    default=default,
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=replica_set_errors,
    validate_update=immutable("spec.selector"),
    validate_status=replica_set_status_errors,
    warnings=warnings_of("spec.template", name_warnings),
    update_warnings=update_warnings_of("spec.template"),
    has_generation=True,
)
