"""What upstream refuses when the resources of a pod are changed while it runs (core/v1, KEP-1287)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver.rules.field_errors import forbidden, invalid_value
from apiserver.rules.pods.annotation_rules import MIRROR
from apiserver.rules.pods.pod_qos import qos_class
from apiserver.rules.pods.pod_rules import pod_errors
from machinery.api.errors import Cause
from machinery.api.resource import Object

_COMPUTE = ("cpu", "memory")
_TIERS = ("requests", "limits")
_PARTS = ("containers", "initContainers")


def validate_resize(new: Object, old: Object) -> list[Cause]:
    """All that is wrong with the resized pod, and with how it has changed."""
    spec, before = new["spec"], old["spec"]
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden("", "static pods cannot be resized")]
    if (before.get("os") or {}).get("name") == "windows":
        return [forbidden("", "windows pods cannot be resized")]
    errors = list(pod_errors(new))
    was = (old.get("status") or {}).get("qosClass") or qos_class(old)
    if qos_class(new) != was:
        detail = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid_value("spec", (new.get("status") or {}).get("qosClass") or "", detail))
    if not _is_supported(old):
        errors.append(forbidden("spec", "Pod running on node without support for resize"))
    if _has_whole(spec) or _has_whole(before):
        errors += _whole_errors(spec.get("resources"), before.get("resources"))
    if (old.get("status") or {}).get("nodeAllocatableResourceClaimStatuses"):
        errors.append(forbidden("spec", "pods with node allocatable resource claims cannot be resized"))
    if moved := list(_order_errors(spec, before)):
        return errors + moved
    errors += _containers_errors(spec, before)
    if not errors and _without_resources(spec) != _without_resources(before):
        errors.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return errors


def _is_supported(pod: Object) -> bool:
    """Whether the pod's node tells what running containers have, as those do that can resize them."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    running = next((each for each in statuses if (each.get("state") or {}).get("running") is not None), None)
    return running is None or running.get("resources") is not None


def _has_whole(spec: Object) -> bool:
    resources = spec.get("resources") or {}
    return bool(resources.get("requests") or resources.get("limits"))


def _whole_errors(resources: Object | None, before: Object | None) -> Iterator[Cause]:
    if before is not None and resources is None:
        yield forbidden("spec.resources", "pod-level resources cannot be removed")
        return
    for tier in _TIERS:
        if _is_removed(resources, before, tier):
            yield forbidden(f"spec.resources.{tier}", f"pod-level resource {tier} cannot be removed")
    if _fixed(resources) != _fixed(before):
        yield forbidden("spec", "only cpu and memory resources are mutable at pod-level")


def _is_removed(resources: Object | None, before: Object | None, tier: str) -> bool:
    return not ((before or {}).get(tier) or {}).keys() <= ((resources or {}).get(tier) or {}).keys()


def _fixed(resources: Object | None) -> Object:
    """What of resources may not change: all but cpu and memory."""
    found: Object = {}
    for tier in _TIERS:
        amounts = (resources or {}).get(tier) or {}
        found[tier] = {name: value for name, value in amounts.items() if name not in _COMPUTE}
    return {**found, "claims": (resources or {}).get("claims") or []}


def _order_errors(spec: Object, before: Object) -> Iterator[Cause]:
    for part in _PARTS:
        containers, were = spec.get(part) or [], before.get(part) or []
        if len(containers) != len(were):
            yield forbidden(f"spec.{part}", f"{part} may not be added or removed on resize")
            continue
        for index, (container, was) in enumerate(zip(containers, were, strict=True)):
            if container.get("name") != was.get("name"):
                detail = f"{part} may not be renamed or reordered on resize"
                yield forbidden(f"spec.{part}[{index}].name", detail)


def _containers_errors(spec: Object, before: Object) -> Iterator[Cause]:
    pairs = {part: list(zip(spec.get(part) or [], before.get(part) or [], strict=True)) for part in _PARTS}
    for part in reversed(_PARTS):
        for index, (container, was) in enumerate(pairs[part]):
            for tier in _TIERS:
                if _is_removed(container.get("resources"), was.get("resources"), tier):
                    where = f"spec.{part}[{index}].resources.{tier}"
                    yield forbidden(where, f"resource {tier} cannot be removed")
    for container, was in pairs["containers"]:
        if _kept(container) != _kept(was):
            yield forbidden("spec", "only cpu and memory resources are mutable")
    for index, (container, was) in enumerate(pairs["initContainers"]):
        yield from _init_errors(container, was, f"spec.initContainers[{index}]")


def _init_errors(container: Object, was: Object, path: str) -> Iterator[Cause]:
    if _kept(container) != _kept(was):
        yield forbidden(path, "only cpu and memory resources for init or sidecar containers are mutable")
    if container == was or container.get("restartPolicy") == "Always":
        return
    for entry in container.get("resizePolicy") or ():
        if entry.get("restartPolicy") == "RestartContainer":
            detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
            yield forbidden(path, detail)


def _kept(container: Object) -> Object:
    return {**container, "resources": _fixed(container.get("resources"))}


def _without_resources(spec: Object) -> Any:
    return {key: value for key, value in spec.items() if key not in (*_PARTS, "resources")}
