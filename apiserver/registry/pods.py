"""What only pods have: binding to a node, eviction under disruption budgets, ephemeral containers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from apiserver.rules.field_errors import not_supported, required
from machinery.api.disruption import ALLOWED, DISRUPTION_TARGET, SYNC_FAILED, PodDisruptionBudget
from machinery.api.errors import (
    BadRequest,
    Cause,
    Forbidden,
    TooManyRequests,
    UnknownError,
    conflict,
    forbidden,
    told,
)
from machinery.api.resource import Object
from machinery.api.timestamps import rfc3339
from machinery.api.views import Pod


def bound(binding: Object, now: datetime) -> Callable[[Object], Object]:
    """The change that a Binding makes to its pod, which stays canonical; raises UnknownError and Conflict."""
    target, metadata = binding.get("target") or {}, binding.get("metadata") or {}
    if causes := list(_target_errors(target)):
        raise UnknownError(told(causes))

    def change(pod: Object) -> Object:
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        if why := _other_pod(metadata, pod["metadata"]):
            raise conflict("pods", name, why)
        if why := _why_not_bound(pod, name):
            raise conflict("pods/binding", name, why)
        since = {"lastProbeTime": None, "lastTransitionTime": rfc3339(now)}
        scheduled = {"type": "PodScheduled", "status": "True", **since}
        others = [each for each in status.get("conditions") or [] if each["type"] != "PodScheduled"]
        kept = {field: value for field, value in status.items() if field != "nominatedNodeName"}
        return {
            **pod,
            "metadata": _with_annotations(pod["metadata"], metadata),
            "spec": {**pod["spec"], "nodeName": target["name"]},
            "status": {**kept, "conditions": [*others, scheduled]},
        }

    return change


def _target_errors(target: Object) -> Iterator[Cause]:
    if target.get("kind") not in (None, "", "Node"):
        yield not_supported("target.kind", target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        yield required("target.name")


def _other_pod(wanted: Object, metadata: Object) -> str:
    """Why the binding means another pod of that name, or another state of it; empty where it doesn't."""
    for field, shown in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != metadata[field]:
            there = metadata[field]
            return f"Precondition failed: {shown} in precondition: {wanted[field]}, {shown} in object meta: {there}"
    return ""


def _why_not_bound(pod: Object, name: str) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return f"pod {name} is being deleted, cannot be assigned to a host"
    if node := pod["spec"].get("nodeName"):
        return f'pod {name} is already assigned to node "{node}"'
    if pod["spec"].get("schedulingGates"):
        return f"pod {name} has non-empty .spec.schedulingGates"
    return ""


def _with_annotations(metadata: Object, binding: Object) -> Object:
    merged = dict(metadata)
    for field in ("annotations", "labels"):
        if binding.get(field):
            merged[field] = {**(metadata.get(field) or {}), **binding[field]}
    return merged


def ephemeral(wanted: Object) -> Callable[[Object], Object]:
    """The change that an update of `ephemeralcontainers` makes: of those containers alone."""

    def change(pod: Object) -> Object:
        spec = {key: value for key, value in pod["spec"].items() if key != "ephemeralContainers"}
        if containers := (wanted.get("spec") or {}).get("ephemeralContainers"):
            spec["ephemeralContainers"] = containers
        return {**pod, "spec": spec}

    return change


_PARTS = ("containers", "initContainers")


def resized(wanted: Object) -> Callable[[Object], Object]:
    """The change that an update of `resize` makes: of resources and of how they are resized.

    Containers that have come, gone or changed places stay as they are wanted, for the pod's rules to refuse.
    """

    def change(pod: Object) -> Object:
        given, spec = wanted.get("spec") or {}, dict(pod["spec"])
        if any(len(given.get(part) or ()) != len(spec.get(part) or ()) for part in _PARTS):
            return {**pod, "spec": given}
        for part in _PARTS:
            if spec.get(part):
                spec[part] = _with_resources(spec[part], given[part])
        spec.pop("resources", None)
        if given.get("resources") is not None:
            spec["resources"] = given["resources"]
        return {**pod, "spec": spec}

    return change


def _with_resources(containers: list[Object], given: list[Object]) -> list[Object]:
    if [each.get("name") for each in containers] != [each.get("name") for each in given]:
        return given
    changed = []
    for container, wanted in zip(containers, given, strict=True):
        kept = {key: value for key, value in container.items() if key not in ("resources", "resizePolicy")}
        taken = {key: wanted[key] for key in ("resources", "resizePolicy") if wanted.get(key) is not None}
        changed.append({**kept, "resources": {}, **taken})
    return changed


SEVERAL_BUDGETS: Object = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    "code": 500,
}
"""What upstream answers then, under the HTTP status 201: clients go by the Status."""


def budgets_for(pod: Object, budgets: Sequence[Object]) -> list[Object]:
    """The disruption budgets that an eviction needs; none where nothing forbids it. Of several none can be asked."""
    view = Pod(pod)
    if view.phase in ("Succeeded", "Failed", "Pending") or view.deleted:
        return []
    matching = [budget for budget in map(PodDisruptionBudget, budgets) if budget.covers(view)]
    if len(matching) == 1 and not view.is_ready and _lets_unready_go(matching[0]):
        return []
    return [budget.obj for budget in matching]


def _lets_unready_go(budget: PodDisruptionBudget) -> bool:
    return budget.unhealthy_policy == "AlwaysAllow" or budget.current_healthy >= budget.desired_healthy > 0


_MOST_DISRUPTED = 2000


def spent(pod_name: str, now: datetime) -> Callable[[Object], Object]:
    """The change of a budget by one allowed disruption; raises TooManyRequests where none is left."""

    def change(obj: Object) -> Object:
        budget = PodDisruptionBudget(obj)
        if budget.observed_generation < budget.generation:
            raise _refused(f"The disruption budget {budget.name} is still being processed by the server.", 10)
        if budget.allowed < 0:
            raise _unspendable(budget, "pdb disruptions allowed is negative")
        if len(budget.disrupted) > _MOST_DISRUPTED:
            why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
            raise _unspendable(budget, why)
        if budget.allowed == 0:
            raise _refused(_why_none(budget), 0)
        disrupted = {**budget.disrupted, pod_name: rfc3339(now)}
        status = {**obj["status"], "disruptionsAllowed": budget.allowed - 1, "disruptedPods": disrupted}
        if not status["disruptionsAllowed"]:
            status["conditions"] = [_insufficient(each, budget.generation, now) for each in budget.conditions]
        return {**obj, "status": status}

    return change


def _why_none(budget: PodDisruptionBudget) -> str:
    condition = budget.condition(ALLOWED) or {}
    if condition.get("status") == "False" and condition.get("reason") == SYNC_FAILED:
        why = condition.get("message", "")
        return (
            f"The disruption budget {budget.name} does not allow evicting pods currently because it failed sync: {why}"
        )
    return (
        f"The disruption budget {budget.name} needs {budget.desired_healthy} healthy pods and has "
        f"{budget.current_healthy} currently"
    )


def _unspendable(budget: PodDisruptionBudget, why: str) -> Forbidden:
    return forbidden("poddisruptionbudgets", budget.name, why, "policy")


def _insufficient(condition: Object, generation: int, now: datetime) -> Object:
    """The condition of a budget whose last disruption was just spent."""
    if condition["type"] != ALLOWED or condition["status"] == "False":
        return condition
    said = {"status": "False", "reason": "InsufficientPods", "observedGeneration": generation}
    return {**condition, **said, "lastTransitionTime": rfc3339(now)}


def evicted(now: datetime) -> Callable[[Object], Object]:
    """The change that tells a pod's owner why it goes."""

    def change(pod: Object) -> Object:
        status = pod.get("status") or {}
        condition = {
            "type": DISRUPTION_TARGET,
            "status": "True",
            "lastTransitionTime": rfc3339(now),
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        if pod["metadata"].get("generation"):
            condition["observedGeneration"] = pod["metadata"]["generation"]
        others = [each for each in status.get("conditions") or () if each["type"] != DISRUPTION_TARGET]
        return {**pod, "status": {**status, "conditions": [*others, condition]}}

    return change


def _refused(why: str, retry_after: int) -> TooManyRequests:
    return TooManyRequests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        causes=(Cause("DisruptionBudget", why),),
        retry_after=retry_after,
    )


def eviction_options(eviction: Object, name: str) -> Object:
    """The DeleteOptions of an Eviction; raises BadRequest where it names another pod."""
    given = (eviction.get("metadata") or {}).get("name") or name
    if given != name:
        raise BadRequest(f'name in URL does not match name in Eviction object: "{name}" != "{given}"')
    return eviction.get("deleteOptions") or {}
