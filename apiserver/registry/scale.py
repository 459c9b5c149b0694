"""The scale sub-resource: `autoscaling/v1 Scale` seen in an object, and written back to it. Pure."""

from __future__ import annotations

from collections.abc import Callable

from apiserver.registry.metadata import check_name, wrong_namespace
from apiserver.rules.field_errors import not_negative
from machinery.api.errors import conflict, invalid
from machinery.api.resource import Object, Resource
from machinery.api.selectors import from_label_selector

SCALES = Resource("autoscaling", "v1", "Scale", "scales")
"""What the sub-resource shows; no path of its own leads to it."""


def scale_of(obj: Object, resource: Resource) -> Object:
    """The Scale that shows the object's replicas."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    shown = {
        key: metadata[key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if key in metadata
    }
    scale_status: Object = {"replicas": status.get("replicas", 0)}
    selector = _selector(spec, resource)
    if selector:
        scale_status["selector"] = selector
    replicas = spec.get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": shown,
        "spec": {"replicas": replicas} if replicas else {},
        "status": scale_status,
    }


def _selector(spec: Object, resource: Resource) -> str:
    selector = spec.get("selector") or {}
    is_plain = resource.plural == "replicationcontrollers"
    labels = selector if is_plain else selector.get("matchLabels") or {}
    terms = [f"{key}={value}" for key, value in sorted(labels.items())]
    expressions = None if is_plain else selector.get("matchExpressions")
    return ",".join([*terms, str(from_label_selector({"matchExpressions": expressions}))] if expressions else terms)


def scaled(scale: Object, resource: Resource, *, is_patch: bool = False) -> Callable[[Object], Object]:
    """The change of the object that the Scale asks for; raises Invalid, Conflict and BadRequest."""
    metadata, spec = scale.get("metadata") or {}, scale.get("spec") or {}
    replicas = spec.get("replicas") or 0

    def change(current: Object) -> Object:
        name, there = current["metadata"]["name"], current["metadata"]
        if metadata.get("namespace", there["namespace"]) != there["namespace"]:
            raise wrong_namespace()
        check_name(metadata, name)
        check_scale(replicas, metadata.get("uid") if is_patch else None, current, resource)
        changed = {**current, "spec": {**(current.get("spec") or {}), "replicas": replicas}}
        kept = {key: value for key, value in there.items() if key != "resourceVersion"}
        for field in ("uid", "resourceVersion"):
            if metadata.get(field):
                kept[field] = metadata[field]
        return {**changed, "metadata": kept}

    return change


def check_scale(replicas: int, uid: str | None, current: Object, resource: Resource) -> None:
    """Raises Invalid for a negative count, Conflict where another object of that name was meant."""
    name, there = current["metadata"]["name"], current["metadata"]["uid"]
    if causes := not_negative("spec.replicas", replicas):
        raise invalid("Scale", name, causes, "autoscaling")
    if uid and uid != there:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {there}"
        raise conflict(f"{resource.plural}/scale", name, why, resource.group)
