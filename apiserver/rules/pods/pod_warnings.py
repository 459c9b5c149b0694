"""What upstream warns of in new pods and in templates: what it takes, though it is old or can't be meant so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from apiserver.rules.field_errors import said
from apiserver.rules.pods.annotation_rules import APP_ARMOR, SECCOMP, SECCOMP_CONTAINER, app_armor_field
from apiserver.rules.pods.deprecated_labels import DEPRECATED, term_warnings
from apiserver.rules.pods.token_name import without_chance
from apiserver.rules.pods.volume_path_warnings import overlap_warnings
from apiserver.rules.pods.windows_rules import containers_with_paths
from apiserver.rules.storage.claim_rules import claim_spec_warnings
from machinery.api import names, quantity
from machinery.api.resource import Object
from machinery.by_content import by_content

_OLD_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_OLD_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SHOWN_VOLUMES = {"storageos": "storageOS"}
_SECCOMP_FIELD = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APP_ARMOR_FIELD = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_NO_POD = "a null labelSelector results in matching no pod"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def pod_warnings(pod: Object) -> list[str]:
    """Of a new pod."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    found = _app_armor_warnings(metadata.get("annotations") or {}, spec)
    found += _name_warnings(metadata.get("name") or "")
    told = {"annotations": metadata.get("annotations"), "spec": spec}
    return found if _is_silent(told) else found + list(_of(told, ""))


def template_warnings(template: Object | None, path: str) -> list[str]:
    """Of a pod template that lies at the path."""
    if not template:
        return []
    told = {"annotations": (template.get("metadata") or {}).get("annotations"), "spec": template.get("spec")}
    return list(_told_of_template(told, f"{path}."))


@by_content
def _told_of_template(told: Object, above: str) -> tuple[str, ...]:
    return tuple(_of(told, above))


def _says_nothing(told: Object) -> bool:
    return next(_of(told, ""), None) is None


_is_silent = by_content(_says_nothing, without_chance)


def _of(told: Object, above: str) -> Iterator[str]:
    return _warnings(told["annotations"] or {}, told["spec"] or {}, above)


def _name_warnings(name: str) -> list[str]:
    complaints = names.dns_label(name)
    if not complaints:
        return []
    detail = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
    return [f"metadata.name: {detail}: [{' '.join(complaints)}]"]


def _app_armor_warnings(annotations: Object, spec: Object) -> list[str]:
    """Of annotations that became fields when the pod was prepared, or could not."""
    if not any(key.startswith(APP_ARMOR) for key in annotations) or (spec.get("os") or {}).get("name") == "windows":
        return []
    of_pod, found = (spec.get("securityContext") or {}).get("appArmorProfile"), []
    for container, _ in containers_with_paths(spec, ""):
        key = f"{APP_ARMOR}{container.get('name')}"
        if key in annotations:
            field = app_armor_field(annotations[key])
            own = (container.get("securityContext") or {}).get("appArmorProfile")
            if (own is None and field is None) or (field is not None and own == field != of_pod):
                found.append(f"metadata.annotations[{key}]: {_APP_ARMOR_FIELD}")
    return found


def _warnings(annotations: Object, spec: Object, above: str) -> Iterator[str]:
    """`above` is what stands before `spec` and `metadata` in paths: nothing for pods."""
    path = f"{above}spec"
    yield from _label_warnings(spec, path)
    if annotations:
        yield from _annotation_warnings(annotations, above)
    if volumes := spec.get("volumes"):
        yield from _volume_warnings(volumes, f"{path}.volumes")
    if aliases := spec.get("hostAliases"):
        yield from _repeated(aliases, "ip", f"{path}.hostAliases")
    if secrets := spec.get("imagePullSecrets"):
        yield from _secret_warnings(secrets, f"{path}.imagePullSecrets")
    if overhead := spec.get("overhead"):
        yield from _fraction_warnings(overhead, f"{path}.overhead")
    if annotations:
        yield from _profile_warnings(annotations, spec, above)
    for container, where in containers_with_paths(spec, path):
        yield from _container_warnings(container, where)
    yield from _port_warnings(spec, path)
    for kind in ("podAffinity", "podAntiAffinity"):
        if terms := (spec.get("affinity") or {}).get(kind):
            yield from _term_warnings(terms, f"{path}.affinity.{kind}")


def _annotation_warnings(annotations: Object, above: str) -> Iterator[str]:
    for key, detail in _OLD_ANNOTATIONS.items():
        if key in annotations:
            yield f"{above}metadata.annotations[{key}]: {detail}"


def _label_warnings(spec: Object, path: str) -> Iterator[str]:
    """Of labels of nodes that have another name by now."""
    for key in spec.get("nodeSelector") or ():
        if key in DEPRECATED:
            yield f"{path}.nodeSelector[{key}]: {DEPRECATED[key]}"
    if node := (spec.get("affinity") or {}).get("nodeAffinity"):
        yield from _node_affinity_warnings(node, f"{path}.affinity.nodeAffinity")
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        yield from _spread_warnings(constraint, f"{path}.topologySpreadConstraints[{index}]")


def _secret_warnings(secrets: list[Object], path: str) -> Iterator[str]:
    yield from _repeated(secrets, "name", path)
    for index, secret in enumerate(secrets):
        if not secret.get("name"):
            yield f'{path}[{index}].name: invalid empty name ""'


def _node_affinity_warnings(affinity: Object, path: str) -> Iterator[str]:
    for index, term in enumerate((affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()):
        yield from term_warnings(term, f"{path}.{_REQUIRED}.nodeSelectorTerms[{index}]")
    for index, preferred in enumerate(affinity.get(_PREFERRED) or ()):
        yield from term_warnings(preferred.get("preference") or {}, f"{path}.{_PREFERRED}[{index}].preference")


def _spread_warnings(constraint: Object, path: str) -> Iterator[str]:
    key = constraint.get("topologyKey")
    if key in DEPRECATED:
        yield f"{path}.topologyKey: {key} is {DEPRECATED[key]}"
    if constraint.get("labelSelector") is None:
        yield f"{path}.labelSelector: {_NO_POD}"


def _volume_warnings(volumes: list[Object], path: str) -> Iterator[str]:
    for index, volume in enumerate(volumes):
        for kind in _OLD_VOLUMES.keys() & volume.keys():
            if volume[kind] is not None:
                yield f"{path}[{index}].{_SHOWN_VOLUMES.get(kind, kind)}: {_OLD_VOLUMES[kind]}"
        if template := (volume.get("ephemeral") or {}).get("volumeClaimTemplate"):
            where = f"{path}[{index}].ephemeral.volumeClaimTemplate.spec"
            yield from claim_spec_warnings(template.get("spec") or {}, where)
    for volume in volumes:
        yield from overlap_warnings(volume)


def _repeated(entries: list[Object], field: str, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        value = entry.get(field) or ""
        if value in seen:
            yield f"{path}[{index}].{field}: duplicate {field} {said(value)}"
        seen.add(value)


def _fraction_warnings(amounts: Object, path: str) -> Iterator[str]:
    """Of bytes that are not whole."""
    for name in ("memory", "ephemeral-storage"):
        value = amounts.get(name)
        if value is not None and (amount := quantity.of(value)).nanos % 10**9:
            yield f'{path}[{name}]: fractional byte value "{amount}" is invalid, must be an integer'


def _profile_warnings(annotations: Object, spec: Object, above: str) -> Iterator[str]:
    """Of profiles that only annotations tell, which nobody reads any longer."""
    of_pod, where = spec.get("securityContext") or {}, f"{above}metadata.annotations"
    if SECCOMP in annotations and of_pod.get("seccompProfile") is None:
        yield f"{where}[{SECCOMP}]: {_SECCOMP_FIELD}"
    for container, _ in containers_with_paths(spec, ""):
        context, name = container.get("securityContext") or {}, container.get("name")
        if context.get("seccompProfile") is None and f"{SECCOMP_CONTAINER}{name}" in annotations:
            yield f"{where}[{SECCOMP_CONTAINER}{name}]: {_SECCOMP_FIELD}"
        has_field = context.get("appArmorProfile") is not None or of_pod.get("appArmorProfile") is not None
        if above and not has_field and f"{APP_ARMOR}{name}" in annotations:
            yield f"{where}[{APP_ARMOR}{name}]: {_APP_ARMOR_FIELD}"


def _container_warnings(container: Object, path: str) -> Iterator[str]:
    resources = container.get("resources") or {}
    for name in ("memory", "ephemeral-storage") if resources else ():
        for tier in ("limits", "requests"):
            value = (resources.get(tier) or {}).get(name)
            if value is not None:
                yield from _fraction_warnings({name: value}, f"{path}.resources.{tier}")
    variables = container.get("env") or ()
    if len(variables) > 1 and len({variable.get("name") for variable in variables}) < len(variables):
        yield from _hidden_warnings(variables, f"{path}.env")


def _hidden_warnings(variables: Iterable[Object], path: str) -> Iterator[str]:
    """Of a variable that is set again, but for one that goes on from its own value, as `$(PATH):/bin` does."""
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name, value = variable.get("name") or "", variable.get("value") or ""
        reference = f"$({name})"
        goes_on = reference in value and value != reference and variable.get("valueFrom") is None
        if name in seen and not goes_on:
            yield f"{path}[{index}]: hides previous definition of {said(name)}, which may be dropped when using apply"
        seen.add(name)


def _port_warnings(spec: Object, path: str) -> Iterator[str]:
    """Of ports that are told twice, which some clients take for one."""
    told: dict[Any, list[tuple[str, int, Object]]] = {}
    for container, where in containers_with_paths(spec, path):
        for index, port in enumerate(container.get("ports") or ()):
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{where}.ports[{index}]: hostIP set without hostPort: {_shown(port)}"
            others = told.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for there, at, other in others:
                if clash := _clash(port, other):
                    yield f"{where}.ports[{index}]: {clash} port definition with {there}.ports[{at}]"
            others.append((where, index, port))


def _shown(port: Object) -> str:
    """The port as Go's `%+v` prints the struct."""
    fields = ("name", "hostPort", "containerPort", "protocol", "hostIP")
    numbers = ("hostPort", "containerPort")
    shown = (f"{name[0].upper()}{name[1:]}:{port.get(name) or (0 if name in numbers else '')}" for name in fields)
    return f"{{{' '.join(shown)}}}"


def _clash(port: Object, other: Object) -> str:
    """In which way two definitions of the same port stand in each other's way; empty where they don't."""
    (ip, host_port), (other_ip, other_host_port) = (
        (each.get("hostIP") or "", each.get("hostPort") or 0) for each in (port, other)
    )
    if (ip, host_port) == (other_ip, other_host_port):
        return "duplicate"
    if not host_port or not other_host_port:
        return "overlapping"
    return "dangerously ambiguous" if host_port == other_host_port and bool(ip) != bool(other_ip) else ""


def _term_warnings(affinity: Object, path: str) -> Iterator[str]:
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        if term.get("labelSelector") is None:
            yield f"{path}.{_REQUIRED}[{index}].labelSelector: {_NO_POD}"
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
            yield f"{path}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {_NO_POD}"
