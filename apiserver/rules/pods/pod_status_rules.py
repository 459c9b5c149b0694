"""What upstream refuses in a pod's status: above all, that containers which have ended for good run again (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from apiserver.rules.field_errors import (
    all_of,
    duplicate,
    forbidden,
    in_range,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from apiserver.rules.immutability import IMMUTABLE
from apiserver.rules.network.addresses import ip_errors, ip_warnings, parse_ip
from apiserver.rules.pods.annotation_rules import annotation_errors, annotation_update_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_KINDS = (
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
)
_SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_LARGEST_ID = 2**31 - 1
_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_LONGEST_IMAGE, _LONGEST_HEALTH_MESSAGE = 256, 1024


def pod_status_warnings(pod: Object) -> list[str]:
    """Of addresses in forms that are on their way out."""
    status = pod.get("status") or {}
    return [
        said
        for field in ("podIPs", "hostIPs")
        for index, address in enumerate(status.get(field) or ())
        for said in ip_warnings(address.get("ip") or "", f"status.{field}[{index}].ip")
    ]


def prepare_status(new: Object, old: Object) -> None:
    """Keeps what writers of a status may leave out: the class, and of which generation something was told."""
    status, before = new.get("status") or {}, old.get("status") or {}
    new["status"] = status = dict(status)
    for field in ("qosClass", "observedGeneration"):
        if not status.get(field) and before.get(field):
            status[field] = before[field]
    if conditions := status.get("conditions"):
        told: dict[str, list[int]] = {}
        for condition in before.get("conditions") or ():
            told.setdefault(condition.get("type", ""), []).append(condition.get("observedGeneration") or 0)
        status["conditions"] = [_told_of(each, told.get(each.get("type", ""), [])) for each in conditions]


def _told_of(condition: Object, generations: list[int]) -> Object:
    known = generations.pop(0) if generations else 0
    if condition.get("observedGeneration") or not known:
        return condition
    return {**condition, "observedGeneration": known}


def validate_pod_status(new: Object, old: Object) -> list[Cause]:
    """All that is wrong with a written status, and with how it has changed."""
    status, before = new.get("status") or {}, old.get("status") or {}
    errors = [*_annotations_errors(new, old), *_condition_errors(status.get("conditions") or [])]
    errors += _nomination_errors(status.get("nominatedNodeName"), before.get("nominatedNodeName"), old["spec"])
    if (status.get("observedGeneration") or 0) < 0:
        detail = "must be a non-negative integer"
        errors.append(invalid_value("status.observedGeneration", status["observedGeneration"], detail))
    if status.get("qosClass") != before.get("qosClass"):
        errors.append(invalid_value("status.qosClass", status.get("qosClass") or "", IMMUTABLE))
    for field, part in _KINDS:
        errors += _revival_errors(
            status.get(field) or [], before.get(field) or [], f"status.{field}", old["spec"], part
        )
    if claims := status.get("resourceClaimStatuses"):
        errors += _claim_errors(claims, new["spec"].get("resourceClaims") or [])
    errors += chain(_address_errors(status, before, "podIPs"), _host_address_errors(status, before))
    for judge in (_users_errors, _allocations_errors, _mounts_errors):
        for field, part in _KINDS:
            for index, each in enumerate(status.get(field) or ()):
                errors += judge(each, f"status.{field}[{index}]", new["spec"], part)
    return errors


def _annotations_errors(new: Object, old: Object) -> Iterator[Cause]:
    after, before = (pod["metadata"].get("annotations") or {} for pod in (new, old))
    if after != before:
        yield from annotation_update_errors(after, before, "metadata.annotations")
        yield from annotation_errors(after, new["spec"], "metadata.annotations")


def _condition_errors(conditions: list[Object]) -> Iterator[Cause]:
    for index, condition in enumerate(conditions):
        where, kind = f"status.conditions[{index}]", condition.get("type") or ""
        if (condition.get("observedGeneration") or 0) < 0:
            detail = "must be a non-negative integer"
            yield invalid_value(f"{where}.observedGeneration", condition["observedGeneration"], detail)
        if kind not in _SYSTEM_CONDITIONS:
            yield from all_of(f"{where}.Type", kind, names.qualified_name(kind))


def _nomination_errors(node: str | None, before: str | None, spec: Object) -> Iterator[Cause]:
    if node and node != before:
        yield from all_of("status.nominatedNodeName", node, names.dns_subdomain(node))
        if spec.get("nodeName"):
            detail = "may not be set on pods that are already bound to a node"
            yield forbidden("status.nominatedNodeName", detail)


def _revival_errors(
    statuses: list[Object], before: list[Object], path: str, spec: Object, part: str
) -> Iterator[Cause]:
    """What has ended runs again only where the pod, or the container's own rules, let it restart."""
    alive = {each.get("name") for each in statuses if _ended(each) is None}
    dead = [(index, each) for index, each in enumerate(before) if _ended(each) is not None and each["name"] in alive]
    if not dead or (part != "ephemeralContainers" and _restarts_all(spec)):
        return
    containers = {each.get("name"): each for each in spec.get(part) or ()}
    for index, status in dead:
        container = containers.get(status["name"])
        code = (_ended(status) or {}).get("exitCode") or 0
        if part == "ephemeralContainers" or container is None or not _restarts(container, spec, code):
            yield forbidden(f"{path}[{index}].state", "may not be transitioned to non-terminated state")


def _ended(status: Object) -> Object | None:
    ended: Object | None = (status.get("state") or {}).get("terminated")
    return ended


def _restarts_all(spec: Object) -> bool:
    """Whether some container's rule restarts all of them."""
    containers = chain(spec.get("containers") or (), spec.get("initContainers") or ())
    rules = chain.from_iterable(each.get("restartPolicyRules") or () for each in containers)
    return any(rule.get("action") == "RestartAllContainers" for rule in rules)


def _restarts(container: Object, spec: Object, code: int) -> bool:
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        is_listed = code in (codes.get("values") or ())
        if is_listed == (codes.get("operator") == "In") and rule.get("action") == "Restart":
            return True
    policy = container.get("restartPolicy") or spec.get("restartPolicy")
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def _claim_errors(statuses: list[Object], claims: list[Object]) -> Iterator[Cause]:
    known, seen = {claim.get("name") for claim in claims}, set[str]()
    for index, status in enumerate(statuses):
        where, name = f"status.resourceClaimStatuses[{index}]", status.get("name") or ""
        if name not in known:
            detail = "must match the name of an entry in `spec.resourceClaims`"
            yield invalid_value(f"{where}.name", name, detail)
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        if (claim := status.get("resourceClaimName")) is not None:
            yield from all_of(f"{where}.resourceClaimName", claim, names.dns_subdomain(claim))


def _address_errors(status: Object, before: Object, field: str) -> Iterator[Cause]:
    addresses, known = ([entry.get("ip") or "" for entry in each.get(field) or ()] for each in (status, before))
    path = f"status.{field}"
    for index, address in enumerate(addresses):
        yield from ip_errors(address, f"{path}[{index}]", known)
    if len(addresses) > 1:
        families = [None if (ip := parse_ip(address)) is None else ip.version for address in addresses]
        if len(addresses) > 2 or set(families) != {4, 6}:
            shown = [{"IP": address} for address in addresses]
            yield invalid_value(path, shown, "may specify no more than one IP for each IP family")


def _host_address_errors(status: Object, before: Object) -> Iterator[Cause]:
    if addresses := status.get("hostIPs"):
        first = addresses[0].get("ip") or ""
        if first != (status.get("hostIP") or ""):
            yield invalid_value("status.hostIPs[0].ip", first, "must be equal to `hostIP`")
        yield from _address_errors(status, before, "hostIPs")


def _users_errors(status: Object, path: str, spec: Object, part: str) -> Iterator[Cause]:
    user, where = (status.get("user") or {}).get("linux"), f"{path}.user.linux"
    if user is None:
        return
    if (spec.get("os") or {}).get("name") == "windows":
        yield forbidden(where, "cannot be set for a windows pod")
        return
    for field in ("uid", "gid"):
        yield from in_range(f"{where}.{field}", user.get(field) or 0, 0, _LARGEST_ID)
    for index, group in enumerate(user.get("supplementalGroups") or ()):
        yield from in_range(f"{where}.supplementalGroups[{index}]", group, 0, _LARGEST_ID)


def _mounts_errors(status: Object, path: str, spec: Object, part: str) -> Iterator[Cause]:
    for index, mount in enumerate(status.get("volumeMounts") or ()):
        if (image := (mount.get("volumeStatus") or {}).get("image")) is not None:
            where = f"{path}.volumeMounts[{index}].volumeStatus.imageVolumeStatus.imageRef"
            yield from _image_errors(image.get("imageRef") or "", where)


def _image_errors(reference: str, path: str) -> Iterator[Cause]:
    if not reference:
        yield required(path, "imageRef must not be empty")
    if len(reference) > _LONGEST_IMAGE:
        yield too_long(path, _LONGEST_IMAGE)


def _allocations_errors(status: Object, path: str, spec: Object, part: str) -> Iterator[Cause]:
    resources = status.get("allocatedResourcesStatus") or []
    if resources and part == "ephemeralContainers":
        yield forbidden(f"{path}.allocatedResourcesStatus", "must not be specified in container status")
        return
    container = next((each for each in spec.get(part) or () if each.get("name") == status.get("name")), None)
    for index, resource in enumerate(resources):
        where = f"{path}.allocatedResourcesStatus[{index}]"
        if container is not None:
            yield from _asked_errors(resource.get("name") or "", container.get("resources") or {}, f"{where}.name")
        yield from _health_errors(resource.get("resources") or [], f"{where}.resources")


def _asked_errors(name: str, resources: Object, path: str) -> Iterator[Cause]:
    claimed = {_claim_name(claim) for claim in resources.get("claims") or ()}
    if name.startswith("claim:"):
        form = "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
        is_asked, detail = name in claimed, f"must match one of the container's resource claims in a format {form}"
    else:
        is_asked = name in (resources.get("requests") or {})
        detail = "must match one of the container's resource requests"
    if not is_asked:
        yield invalid_value(path, name, detail)


def _claim_name(claim: Object) -> str:
    return f"claim:{claim.get('name')}" + (f"/{claim['request']}" if claim.get("request") else "")


def _health_errors(devices: list[Object], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, device in enumerate(devices):
        where, message, identity = f"{path}[{index}]", device.get("message"), device.get("resourceID") or ""
        if device.get("health") not in _HEALTH:
            yield not_supported(f"{where}.health", device.get("health") or "", _HEALTH)
        if message is not None and not message:
            yield required(f"{where}.message", "must be non-empty if specified")
        if message is not None and len(message) > _LONGEST_HEALTH_MESSAGE:
            yield too_long(f"{where}.message", _LONGEST_HEALTH_MESSAGE)
        if identity in seen:
            yield duplicate(f"{where}.resourceID", identity)
        seen.add(identity)
