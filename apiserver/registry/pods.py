"""What only pods have: binding to a node, eviction under disruption budgets, ephemeral containers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from machinery.api.errors import BadRequest, Cause, InternalError, TooManyRequests, conflict, invalid
from machinery.api.resource import Object
from machinery.api.selectors import stored_selector
from machinery.api.timestamps import rfc3339


def bound(binding: Object, now: datetime) -> Callable[[Object], Object]:
    """The change that a Binding makes to its pod; raises Invalid and Conflict."""
    target = binding.get("target") or {}
    metadata = binding.get("metadata") or {}
    causes = []
    if target.get("kind") not in (None, "", "Node"):
        shown = f'Unsupported value: "{target["kind"]}": supported values: "Node", "<empty>"'
        causes.append(Cause("FieldValueNotSupported", shown, "target.kind"))
    if not target.get("name"):
        causes.append(Cause("FieldValueRequired", "Required value", "target.name"))
    if causes:
        raise invalid("Binding", metadata.get("name") or "", causes)

    def change(pod: Object) -> Object:
        name, spec, status = pod["metadata"]["name"], pod["spec"], pod.get("status") or {}
        why = ""
        if pod["metadata"].get("deletionTimestamp"):
            why = f"pod {name} is being deleted, cannot be assigned to a host"
        elif spec.get("nodeName"):
            why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        elif spec.get("schedulingGates"):
            why = f"pod {name} has non-empty .spec.schedulingGates"
        if why:
            raise conflict("pods/binding", name, why)
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(now)}
        others = [each for each in status.get("conditions") or [] if each["type"] != "PodScheduled"]
        changed = {
            **pod,
            "metadata": _with_annotations(pod["metadata"], metadata),
            "spec": {**spec, "nodeName": target["name"]},
            "status": {**status, "conditions": [*others, scheduled]},
        }
        if metadata.get("uid") and metadata["uid"] != pod["metadata"]["uid"]:
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, "
            raise conflict("pods/binding", name, why + f"UID in object meta: {pod['metadata']['uid']}")
        return changed

    return change


def _with_annotations(metadata: Object, binding: Object) -> Object:
    merged = dict(metadata)
    for field in ("annotations", "labels"):
        if binding.get(field):
            merged[field] = {**(metadata.get(field) or {}), **binding[field]}
    return merged


def ephemeral(wanted: Object) -> Callable[[Object], Object]:
    """The change that an update of `ephemeralcontainers` makes: those are added, nothing else moves."""

    def change(pod: Object) -> Object:
        containers = (wanted.get("spec") or {}).get("ephemeralContainers") or []
        there = {each["name"]: each for each in pod["spec"].get("ephemeralContainers") or []}
        given = {each.get("name"): each for each in containers}
        for name, each in there.items():
            if name not in given or given[name] != each:
                message = f'Forbidden: existing ephemeral containers "{name}" may not be ' + (
                    "removed" if name not in given else "changed"
                )
                cause = Cause("FieldValueForbidden", message, "spec.ephemeralContainers")
                raise invalid("Pod", pod["metadata"]["name"], [cause])
        return {**pod, "spec": {**pod["spec"], "ephemeralContainers": containers}}

    return change


def resized(wanted: Object) -> Callable[[Object], Object]:
    """The change that an update of `resize` makes: resources of containers alone."""

    def change(pod: Object) -> Object:
        spec, given = dict(pod["spec"]), wanted.get("spec") or {}
        for field in ("containers", "initContainers"):
            resources = {each.get("name"): each for each in given.get(field) or []}
            if spec.get(field):
                spec[field] = [_with_resources(each, resources.get(each["name"])) for each in spec[field]]
        if "resources" in given:
            spec["resources"] = given["resources"]
        return {**pod, "spec": spec}

    return change


def _with_resources(container: Object, given: Object | None) -> Object:
    if given is None:
        return container
    changed = {**container, "resources": given.get("resources") or {}}
    if "resizePolicy" in given:
        changed["resizePolicy"] = given["resizePolicy"]
    return changed


def budget_for(pod: Object, budgets: Sequence[Object]) -> Object | None:
    """The disruption budget that an eviction needs; None where nothing forbids it. Raises where it is refused."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    if status.get("phase") in ("Succeeded", "Failed", "Pending") or metadata.get("deletionTimestamp"):
        return None
    matching = [each for each in budgets if _covers(each, pod)]
    if not matching:
        return None
    if len(matching) > 1:
        raise InternalError("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")  # fmt: skip # noqa: E501
    budget = matching[0]
    is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])
    state, spec = budget.get("status") or {}, budget.get("spec") or {}
    if not is_ready:
        is_healthy = state.get("currentHealthy", 0) >= state.get("desiredHealthy", 0) > 0
        if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow" or is_healthy:
            return None
    return budget


def _covers(budget: Object, pod: Object) -> bool:
    selector = (budget.get("spec") or {}).get("selector")
    return selector is not None and stored_selector(selector).matches(pod["metadata"].get("labels") or {})


def spent(pod_name: str, now: datetime) -> Callable[[Object], Object]:
    """The change of a budget by one allowed disruption; raises TooManyRequests where none is left."""

    def change(budget: Object) -> Object:
        status, metadata = budget.get("status") or {}, budget["metadata"]
        if status.get("observedGeneration", 0) < metadata.get("generation", 0):
            raise _refused(f"The disruption budget {metadata['name']} is still being processed by the server.", 10)
        allowed = status.get("disruptionsAllowed", 0)
        if allowed <= 0:
            raise _refused(
                f"The disruption budget {metadata['name']} needs {status.get('desiredHealthy', 0)} healthy pods and "
                f"has {status.get('currentHealthy', 0)} currently",
                0,
            )
        disrupted = {**(status.get("disruptedPods") or {}), pod_name: rfc3339(now)}
        return {**budget, "status": {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}}

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
