"""What upstream refuses in a pod's spec, with its field paths and words, for pods and templates (core/v1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from apiserver.kinds.container_rules import container_errors
from apiserver.kinds.field_errors import (
    all_of,
    duplicate,
    forbidden,
    invalid_value,
    not_supported,
    one_of,
    required,
)
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_RESTART = ("Always", "OnFailure", "Never")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")


def validate_pod(pod: Object) -> list[Cause]:
    spec = pod.get("spec") or {}
    errors = list(pod_spec_errors(spec, "spec"))
    if spec.get("ephemeralContainers"):
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    return errors


def validate_pod_update(new: Object, old: Object) -> list[Cause]:
    """A pod's spec is immutable but for images, deadlines, tolerations that are added, and gates that are removed."""
    errors: list[Cause] = []
    if _mutable_masked(new, old) != old.get("spec"):
        detail = (
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to"
            " existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was"
            " previously negative)"
        )
        errors.append(forbidden("spec", detail))
    return errors


def _mutable_masked(new: Object, old: Object) -> Object:
    """The new spec with what may change put back as it was."""
    before, spec = old.get("spec") or {}, dict(new.get("spec") or {})
    for part in ("containers", "initContainers"):
        was = {c["name"]: c.get("image") for c in before.get(part) or []}
        if part in spec:
            spec[part] = [
                {**c, "image": was[c["name"]]} if was.get(c.get("name")) is not None else c for c in spec[part] or []
            ]
    old_tolerations = before.get("tolerations") or []
    if all(entry in (spec.get("tolerations") or []) for entry in old_tolerations):
        _restore(spec, before, "tolerations")
    gates = spec.get("schedulingGates") or []
    if all(gate in (before.get("schedulingGates") or []) for gate in gates):
        _restore(spec, before, "schedulingGates")
        if before.get("schedulingGates"):
            for field in ("nodeSelector", "affinity"):
                _restore(spec, before, field)
    for field in ("activeDeadlineSeconds", "ephemeralContainers"):
        _restore(spec, before, field)
    return spec


def _restore(spec: Object, before: Object, field: str) -> None:
    if field in before:
        spec[field] = before[field]
    else:
        spec.pop(field, None)


def pod_spec_errors(spec: Object, path: str) -> Iterator[Cause]:
    volumes = {volume.get("name", ""): volume for volume in spec.get("volumes") or []}
    yield from _volume_errors(spec.get("volumes") or [], f"{path}.volumes")
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for part in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(part) or []):
            where = f"{path}.{part}[{index}]"
            if container.get("name") in seen:
                yield duplicate(f"{where}.name", container["name"])
            seen.add(container.get("name", ""))
            yield from container_errors(container, where, volumes, spec, is_init=part == "initContainers")
    yield from one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART)
    yield from one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS)
    if spec.get("dnsPolicy") == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        yield required(
            f"{path}.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None"
        )
    yield from _scalar_errors(spec, path)
    yield from _security_errors(spec.get("securityContext") or {}, f"{path}.securityContext")
    yield from _alias_errors(spec.get("hostAliases") or [], f"{path}.hostAliases")
    for index, gate in enumerate(spec.get("readinessGates") or []):
        condition = gate.get("conditionType") or ""
        yield from all_of(f"{path}.readinessGates[{index}].conditionType", condition, names.qualified_name(condition))
    for key, value in (spec.get("nodeSelector") or {}).items():
        yield from all_of(f"{path}.nodeSelector", key, names.qualified_name(key))
        yield from all_of(f"{path}.nodeSelector", value, names.label_value(value))
    for index, toleration in enumerate(spec.get("tolerations") or []):
        yield from _toleration_errors(toleration, f"{path}.tolerations[{index}]")
    yield from _affinity_errors(spec.get("affinity") or {}, f"{path}.affinity")
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or []):
        yield from _spread_errors(constraint, f"{path}.topologySpreadConstraints[{index}]")


_LARGEST_ID = 2147483647
_BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def _security_errors(context: Object, path: str) -> Iterator[Cause]:
    ids = [(field, context.get(field)) for field in ("fsGroup", "runAsUser", "runAsGroup")]
    ids += [
        (f"supplementalGroups[{index}]", group) for index, group in enumerate(context.get("supplementalGroups") or [])
    ]
    for field, number in ids:
        if number is not None and not 0 <= number <= _LARGEST_ID:
            yield invalid_value(f"{path}.{field}", number, f"must be between 0 and {_LARGEST_ID}, inclusive")


def _alias_errors(aliases: list[Object], path: str) -> Iterator[Cause]:
    for index, alias in enumerate(aliases):
        if not _is_ip(alias.get("ip") or ""):
            yield invalid_value(f"{path}[{index}].ip", alias.get("ip") or "", _BAD_IP)
        for name in alias.get("hostnames") or []:
            yield from all_of(f"{path}[{index}].hostnames", name, names.dns_subdomain(name))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _scalar_errors(spec: Object, path: str) -> Iterator[Cause]:
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2147483647:
        yield invalid_value(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    for field, check in (("hostname", names.dns_label), ("subdomain", names.dns_label)):
        if spec.get(field):
            yield from all_of(f"{path}.{field}", spec[field], check(spec[field]))
    for field in ("nodeName", "serviceAccountName", "runtimeClassName", "priorityClassName"):
        if spec.get(field):
            yield from all_of(f"{path}.{field}", spec[field], names.dns_subdomain(spec[field]))


def _volume_errors(volumes: list[Object], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        where, name = f"{path}[{index}]", volume.get("name", "")
        if not name:
            yield required(f"{where}.name")
        else:
            yield from all_of(f"{where}.name", name, names.dns_label(name))
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        for extra in sources[1:]:
            yield forbidden(f"{where}.{extra}", "may not specify more than 1 volume type")
        yield from _source_errors(volume, where)


_REQUIRED_IN_SOURCE = (
    ("hostPath", "path"),
    ("secret", "secretName"),
    ("configMap", "name"),
    ("persistentVolumeClaim", "claimName"),
    ("nfs", "server"),
    ("nfs", "path"),
    ("csi", "driver"),
)


def _source_errors(volume: Object, path: str) -> Iterator[Cause]:
    for source, field in _REQUIRED_IN_SOURCE:
        if volume.get(source) is not None and not volume[source].get(field):
            yield required(f"{path}.{source}.{field}")
    for source in ("secret", "configMap", "projected", "downwardAPI"):
        mode = (volume.get(source) or {}).get("defaultMode")
        if mode is not None and not 0 <= mode <= 0o777:
            detail = "must be a number between 0 and 0777 (octal), both inclusive"
            yield invalid_value(f"{path}.{source}.defaultMode", mode, detail)


def _toleration_errors(toleration: Object, path: str) -> Iterator[Cause]:
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if key:
        yield from all_of(f"{path}.key", key, names.qualified_name(key))
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid_value(f"{path}.operator", operator, detail)
    if operator == "Exists" and toleration.get("value"):
        yield invalid_value(f"{path}.operator", toleration, "value must be empty when `operator` is 'Exists'")
    if operator not in ("Equal", "Exists", "Lt", "Gt"):
        yield not_supported(f"{path}.operator", operator, ("Equal", "Exists"))
    effect = toleration.get("effect") or ""
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield invalid_value(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    yield from one_of(f"{path}.effect", effect, ("NoSchedule", "PreferNoSchedule", "NoExecute"))


def _affinity_errors(affinity: Object, path: str) -> Iterator[Cause]:
    node = affinity.get("nodeAffinity") or {}
    for field in ("podAffinity", "podAntiAffinity"):
        yield from _pod_affinity_errors(affinity.get(field) or {}, f"{path}.{field}")
    wanted = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if wanted is not None:
        where = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
        terms = wanted.get("nodeSelectorTerms") or []
        if not terms:
            yield required(where, "must have at least one node selector term")
        for index, term in enumerate(terms):
            yield from _term_errors(term, f"{where}[{index}]")
    for index, preferred in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution") or []):
        where = f"{path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        if not 1 <= preferred.get("weight", 0) <= 100:
            yield invalid_value(f"{where}.weight", preferred.get("weight", 0), "must be in the range 1-100")
        yield from _term_errors(preferred.get("preference") or {}, f"{where}.preference")


def _pod_affinity_errors(affinity: Object, path: str) -> Iterator[Cause]:
    for index, term in enumerate(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or []):
        where = f"{path}.requiredDuringSchedulingIgnoredDuringExecution[{index}]"
        yield from _topology_errors(term, where)
    for index, preferred in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []):
        where, weight = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}]", preferred.get("weight", 0)
        if not 1 <= weight <= 100:
            yield invalid_value(f"{where}.weight", weight, "must be in the range 1-100")
        yield from _topology_errors(preferred.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")


def _topology_errors(term: Object, path: str) -> Iterator[Cause]:
    key = term.get("topologyKey") or ""
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    yield from all_of(f"{path}.topologyKey", key, names.qualified_name(key))


def _term_errors(term: Object, path: str) -> Iterator[Cause]:
    for index, entry in enumerate(term.get("matchExpressions") or []):
        where, operator, values = f"{path}.matchExpressions[{index}]", entry.get("operator"), entry.get("values") or []
        if operator in ("In", "NotIn") and not values:
            yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield forbidden(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        elif operator in ("Gt", "Lt") and len(values) != 1:
            yield required(f"{where}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
        elif operator not in ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"):
            yield invalid_value(f"{where}.operator", operator, "not a valid selector operator")
        yield from all_of(f"{where}.key", entry.get("key", ""), names.qualified_name(entry.get("key", "")))


def _spread_errors(constraint: Object, path: str) -> Iterator[Cause]:
    if constraint.get("maxSkew", 0) <= 0:
        yield invalid_value(f"{path}.maxSkew", constraint.get("maxSkew", 0), "must be greater than zero")
    if not constraint.get("topologyKey"):
        yield required(f"{path}.topologyKey", "can not be empty")
    supported = ("DoNotSchedule", "ScheduleAnyway")
    if constraint.get("whenUnsatisfiable") not in supported:
        yield not_supported(f"{path}.whenUnsatisfiable", constraint.get("whenUnsatisfiable") or "", supported)


def template_errors(template: Any, path: str, *, restart: tuple[str, ...] = _RESTART) -> Iterator[Cause]:
    """A pod template's errors; `restart` are the policies that its kind supports."""
    template = template or {}
    metadata = template.get("metadata") or {}
    for key, value in (metadata.get("labels") or {}).items():
        yield from all_of(f"{path}.metadata.labels", key, names.qualified_name(key))
        yield from all_of(f"{path}.metadata.labels", value, names.label_value(value))
    spec = template.get("spec") or {}
    yield from pod_spec_errors(spec, f"{path}.spec")
    policy = spec.get("restartPolicy")
    if policy in _RESTART and policy not in restart:
        yield not_supported(f"{path}.spec.restartPolicy", policy, restart)
    if spec.get("activeDeadlineSeconds") is not None and restart == ("Always",):
        yield forbidden(f"{path}.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported")
