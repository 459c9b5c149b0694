"""What upstream refuses in a new pod and in a pod template, with its field paths, order and words (core/v1).

Each part of the spec has a file of rules of its own; here stands in which order they are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from apiserver.rules.field_errors import (
    all_of,
    choice,
    duplicate,
    forbidden,
    in_range,
    invalid_value,
    required,
)
from apiserver.rules.label_rules import annotations_errors, label_errors
from apiserver.rules.pods.annotation_rules import MIRROR, annotation_errors, disagreements
from apiserver.rules.pods.container_rules import (
    containers_errors,
    ephemeral_containers_errors,
    image_errors,
    init_containers_errors,
)
from apiserver.rules.pods.dns_rules import dns_config_errors, host_alias_errors, host_name_errors
from apiserver.rules.pods.environment_rules import file_variable_errors
from apiserver.rules.pods.internal_types import internal
from apiserver.rules.pods.placement_rules import (
    affinity_errors,
    readiness_gate_errors,
    scheduling_gate_errors,
    spread_errors,
    toleration_errors,
)
from apiserver.rules.pods.port_rules import host_network_errors
from apiserver.rules.pods.resource_rules import pod_resource_errors, resource_errors
from apiserver.rules.pods.security_rules import pod_security_errors
from apiserver.rules.pods.surroundings import Surroundings
from apiserver.rules.pods.token_name import without_chance
from apiserver.rules.pods.volume_rules import volume_errors
from apiserver.rules.pods.windows_rules import host_process_errors, host_users_errors, os_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object
from machinery.by_content import by_content

_RESTARTS = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTIONS = ("PreemptLowerPriority", "Never")
_LONGEST_DEADLINE = 2**31 - 1


def validate_pod(pod: Object) -> list[Cause]:
    """All that is wrong with a new pod but for its metadata, which the registry judges for every kind."""
    spec, annotations = pod.get("spec") or {}, (pod.get("metadata") or {}).get("annotations") or {}
    errors = list(pod_errors(pod))
    if spec.get("ephemeralContainers"):
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        detail = "cannot be set until all schedulingGates have been cleared"
        errors.append(forbidden("spec.nodeName", detail))
    if annotations:
        errors += disagreements(annotations, spec, "spec")
    return errors


def pod_errors(pod: Object) -> Iterator[Cause]:
    """What is wrong with a pod's annotations and spec, be it new or changed."""
    spec, metadata = pod.get("spec") or {}, pod.get("metadata") or {}
    if annotations := metadata.get("annotations"):
        yield from annotation_errors(annotations, spec, "metadata.annotations")
    if _has_named_parts(spec) or not _is_sound(spec):
        yield from _spec_errors(spec, "spec", metadata)
    if not spec.get("serviceAccountName"):
        yield from _token_errors(spec.get("volumes") or [])
    for part in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(part) or ()):
            yield from image_errors(container, f"spec.{part}[{index}]")


def _has_named_parts(spec: Object) -> bool:
    """Whether something of the spec is named after the pod, so that its name has a say."""
    return bool(spec.get("resourceClaims")) or any(each.get("ephemeral") for each in spec.get("volumes") or ())


def _looks_sound(spec: Object) -> bool:
    return next(_spec_errors(spec, "spec", {}), None) is None


_is_sound = by_content(_looks_sound, without_chance)


def _token_errors(volumes: list[Object]) -> Iterator[Cause]:
    for index, volume in enumerate(volumes):
        for at, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                where = f"spec.volumes[{index}].projected.sources[{at}].serviceAccountToken"
                yield forbidden(where, "must not be specified when serviceAccountName is not set")


def template_errors(template: Any, path: str) -> Iterator[Cause]:
    """A pod template's errors; which restart policies and deadlines fit is for its kind to say."""
    template = template or {}
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    if labels := metadata.get("labels"):
        yield from label_errors(labels, f"{path}.labels")
    if annotations := metadata.get("annotations"):
        yield from annotations_errors(annotations, f"{path}.annotations")
        yield from annotation_errors(annotations, spec, f"{path}.annotations")
    yield from _template_spec_errors(spec, f"{path}.spec")
    if annotations:
        yield from disagreements(annotations, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        yield forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


@by_content
def _template_spec_errors(spec: Object, path: str) -> tuple[Cause, ...]:
    return tuple(_spec_errors(spec, path, None))


def _spec_errors(spec: Object, path: str, metadata: Object | None) -> Iterator[Cause]:
    """A pod's spec, whose `metadata` is None in a template: what depends on the pod's name is not asked there."""
    if spec.get("terminationGracePeriodSeconds") is None:
        yield required(f"{path}.terminationGracePeriodSeconds")
    declared = spec.get("volumes") or []
    volumes, errors = volume_errors(declared, f"{path}.volumes", (metadata or {}).get("name") or "")
    yield from errors
    around = Surroundings(
        volumes,
        restart_policy=spec.get("restartPolicy") or "",
        grace_period=spec.get("terminationGracePeriodSeconds"),
        has_host_users=spec.get("hostUsers") is not False,
    )
    if claims := spec.get("resourceClaims"):
        around.claims = frozenset(claim["name"] for claim in claims if claim.get("name"))
        yield from _claims_errors(claims, f"{path}.resourceClaims", metadata)
    yield from _containers_errors(spec, path, around)
    if spec.get("resources") is not None:
        yield from pod_resource_errors(spec, f"{path}.resources")
    if spec.get("hostNetwork"):
        containers = spec.get("containers") or []
        yield from host_network_errors(containers, f"{path}.containers", is_template=metadata is None)
    yield from choice(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTARTS)
    yield from choice(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS)
    yield from _field_errors(spec, path)
    if around.file_variables:
        yield from file_variable_errors(around, declared)


def _containers_errors(spec: Object, path: str, around: Surroundings) -> Iterator[Cause]:
    containers, inits = spec.get("containers") or [], spec.get("initContainers") or []
    yield from containers_errors(containers, f"{path}.containers", around)
    if inits:
        yield from init_containers_errors(inits, f"{path}.initContainers", around, containers)
    if ephemeral := spec.get("ephemeralContainers"):
        where = f"{path}.ephemeralContainers"
        yield from ephemeral_containers_errors(ephemeral, where, around, [*containers, *inits])


def _claims_errors(claims: list[Object], path: str, metadata: Object | None) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        if MIRROR in ((metadata or {}).get("annotations") or ()):
            yield forbidden("", "static pods do not support resource claims")
            continue
        where, name = f"{path}[{index}]", claim.get("name") or ""
        if name and name in seen:
            yield duplicate(f"{where}.name", name)
        else:
            yield from all_of(f"{where}.name", name, names.dns_label(name)) if name else [required(f"{where}.name")]
        seen.add(name)
        yield from _claim_source_errors(claim, where)


def _claim_source_errors(claim: Object, path: str) -> Iterator[Cause]:
    chosen = [field for field in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(field) is not None]
    if len(chosen) == 2:
        detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
        yield invalid_value(path, internal("PodResourceClaim", claim), detail)
    elif not chosen:
        detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        yield invalid_value(path, internal("PodResourceClaim", claim), detail)
    for field in chosen:
        yield from all_of(f"{path}.{field}", claim[field], names.dns_subdomain(claim[field]))


def _field_errors(spec: Object, path: str) -> Iterator[Cause]:
    """Of the fields that are asked one by one; nothing is done for those that are absent."""
    for field, errors in _BY_FIELD:
        value = spec.get(field)
        if value is not None:
            yield from errors(value, f"{path}.{field}", spec)


Rule = Callable[[Any, str, Object], Iterable[Cause]]
"""What is wrong with a field's value, given its path and the whole spec."""


def _named(check: Callable[[str], list[str]], *, may_be_empty: bool = True) -> Rule:
    """The rule that a name passes the check; an empty one mostly says that there's none."""

    def errors(value: str, path: str, spec: Object) -> Iterable[Cause]:
        return all_of(path, value, check(value)) if value or not may_be_empty else ()

    return errors


def _alone(rule: Callable[[Any, str], Iterable[Cause]]) -> Rule:
    """The rule of a value that needs no other."""
    return lambda value, path, spec: rule(value, path)


def _deadline(seconds: int, path: str) -> Iterable[Cause]:
    return in_range(path, seconds, 1, _LONGEST_DEADLINE)


def _preemption(policy: str, path: str) -> Iterable[Cause]:
    return choice(path, policy, _PREEMPTIONS)


def _overhead(amounts: Object, path: str) -> Iterable[Cause]:
    # Upstream judges it as a container's limits, and says so.
    return resource_errors({"limits": amounts}, path)


def _dns(policy: str, path: str, spec: Object) -> Iterable[Cause]:
    config = spec.get("dnsConfig")
    if config is None and policy != "None":
        return ()
    return dns_config_errors(config, policy, f"{_above(path)}.dnsConfig")


def _host_processes(containers: Any, path: str, spec: Object) -> Iterable[Cause]:
    holders = chain((spec,), containers, spec.get("initContainers") or (), spec.get("ephemeralContainers") or ())
    contexts = (holder.get("securityContext") for holder in holders)
    if any(context.get("windowsOptions") for context in contexts if context):
        return host_process_errors(spec, _above(path))
    return ()


def _security(context: Object, path: str, spec: Object) -> Iterable[Cause]:
    return pod_security_errors(context, spec, path) if context or spec.get("shareProcessNamespace") else ()


def _host_users(are_hosts: Any, path: str, spec: Object) -> Iterable[Cause]:
    return () if are_hosts else host_users_errors(spec, _above(path))


def _above(path: str) -> str:
    return path.rpartition(".")[0]


_BY_FIELD: tuple[tuple[str, Rule], ...] = (
    ("nodeSelector", _alone(label_errors)),
    ("securityContext", _security),
    ("affinity", _alone(affinity_errors)),
    ("dnsPolicy", _dns),
    ("readinessGates", _alone(readiness_gate_errors)),
    ("schedulingGates", _alone(scheduling_gate_errors)),
    ("topologySpreadConstraints", _alone(spread_errors)),
    ("containers", _host_processes),
    ("hostUsers", _host_users),
    ("hostnameOverride", host_name_errors),
    ("serviceAccountName", _named(names.dns_subdomain)),
    ("nodeName", _named(names.dns_subdomain)),
    ("activeDeadlineSeconds", _alone(_deadline)),
    ("hostname", _named(names.dns_label)),
    ("subdomain", _named(names.dns_label)),
    ("tolerations", _alone(toleration_errors)),
    ("hostAliases", _alone(host_alias_errors)),
    ("priorityClassName", _named(names.dns_subdomain)),
    ("runtimeClassName", _named(names.dns_subdomain, may_be_empty=False)),
    ("preemptionPolicy", _alone(_preemption)),
    ("overhead", _alone(_overhead)),
    ("os", os_errors),
)
"""In the order in which upstream asks. Where a rule needs no more than that its field is there, as with `containers`,
it's one of the whole spec."""
