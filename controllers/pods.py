"""What controllers of pods share: the pod that a template makes, which is missed least, and why one has to go."""

from __future__ import annotations

from typing import Any

from controllers.plan import Patch, key_of
from machinery.api.disruption import DISRUPTION_TARGET
from machinery.api.resource import Object
from machinery.api.resources import PODS
from machinery.api.views import Pod


def pod_from_template(template: Object, owner: Object, reference: Object, name_prefix: str = "") -> Object:
    """A pod of `owner`, which `reference` names as its controller, with a generated name after the prefix or the owner.

    The parts of the template are shared: copy what you change.
    """
    metadata = template.get("metadata") or {}
    made: Object = {
        "generateName": name_prefix or f"{owner['metadata']['name']}-",
        "namespace": owner["metadata"].get("namespace", ""),
        "ownerReferences": [reference],
    }
    for field in ("labels", "annotations", "finalizers"):
        if metadata.get(field):
            made[field] = metadata[field]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": template.get("spec") or {}}


def usefulness(pod: Pod) -> tuple[object, ...]:
    """Sorts the least useful pods first: as they stand, then restarted and young ones."""
    return *standing(pod), -pod.restarts, _younger_first(pod.created), pod.name


def standing(pod: Pod) -> tuple[bool, int, bool, int]:
    """Sorts those that are missed least first: unbound, pending, unready, cheap."""
    cost = pod.annotations.get("controller.kubernetes.io/pod-deletion-cost", "0")
    return (
        bool(pod.node_name),
        {"Pending": 0, "Unknown": 1, "Running": 2}.get(pod.phase, 1),
        pod.is_ready,
        int(cost) if cost.lstrip("+-").isdigit() else 0,
    )


def _younger_first(created: str) -> tuple[int, ...]:
    return tuple(-ord(char) for char in created)


def condemned(pod: Pod, reason: str, message: str, now: str, **status: Any) -> Patch:
    """Says in the pod's status, before it goes, for what it does; `status` are fields that change with that."""
    told = targeted(pod, now, status="True", reason=reason, message=message)
    patch = {"metadata": {"uid": pod.uid}, "status": {**status, "conditions": told}}
    return Patch(PODS, key_of(pod.obj), patch, "status")


def targeted(pod: Pod, now: str, *, status: str, **said: str) -> list[Object]:
    """The pod's conditions with DisruptionTarget saying this and no more, in its place where it has one."""
    before = pod.condition(DISRUPTION_TARGET)
    is_same = before is not None and before["status"] == status
    condition = {
        "type": DISRUPTION_TARGET,
        "status": status,
        "lastTransitionTime": before["lastTransitionTime"] if before and is_same else now,
        **said,
        **({"observedGeneration": pod.generation} if pod.generation else {}),
    }
    if before is None:
        return [*pod.conditions, condition]
    return [condition if each is before else each for each in pod.conditions]
