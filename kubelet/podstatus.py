"""The pod's status as the API tells it, computed from spec, runtime state and what went wrong last. Pure.

Word for word what a v1.36 node writes: kubectl, controllers and people read reasons and messages, not just phases.
"""

from __future__ import annotations

from kubelet import podspec
from kubelet.containerstatus import container_statuses, with_unknown_ends
from kubelet.podconditions import pod_conditions, pod_phase
from kubelet.podstate import PodState
from kubelet.resources import pod_requests_and_limits, with_resources
from kubelet.statusinput import StatusInput, Trouble, timestamp
from machinery.api.resource import Object


def pod_status(pod: Object, state: PodState, given: StatusInput) -> Object:
    """The whole new `status`; equal to the pod's own where nothing has changed."""
    old: Object = pod.get("status") or {}
    init = container_statuses(pod, podspec.init_containers(pod), state, old.get("initContainerStatuses"), given)
    main = container_statuses(pod, podspec.containers(pod), state, old.get("containerStatuses"), given)
    debug = container_statuses(
        pod, podspec.ephemeral_containers(pod), state, old.get("ephemeralContainerStatuses"), given
    )
    final = pod_phase(pod, init, main, ended=given.has_ended)
    if given.failure is not None:
        final = "Failed"
    conditions = pod_conditions(pod, state, init, main, final, given)
    if given.has_ended:
        init, main = with_unknown_ends(pod, init, main)
        # What has ended has succeeded or failed, also where it never began; its conditions tell that.
        final = final if final == "Succeeded" else "Failed"
    phase = final
    if final in ("Succeeded", "Failed") and not given.has_ended and old.get("phase") not in ("Succeeded", "Failed"):
        # A terminal phase promises that nothing runs any more, so it waits for the sandbox's end, and where nothing
        # was seen to run the pod has never been Running.
        phase = old.get("phase") or "Pending"
    if old.get("phase") in ("Succeeded", "Failed"):
        phase = old["phase"]
    status: Object = {
        "phase": phase,
        "conditions": conditions,
        "hostIP": given.host_ips[0],
        "hostIPs": [{"ip": ip} for ip in given.host_ips],
        "startTime": old.get("startTime") or timestamp(given.now),
        "qosClass": podspec.qos_class(pod),
        "observedGeneration": podspec.generation(pod),
    }
    for key in ("nominatedNodeName", "resourceClaimStatuses", "extendedResourceClaimStatus"):
        if key in old:
            status[key] = old[key]
    # A phase that waits for the sandbox's end has no reason yet.
    status |= _failure_text(given.failure if phase == "Failed" else None, old)
    status |= _ips(pod, state, old, given)
    if init:
        status["initContainerStatuses"] = init
    if main:
        status["containerStatuses"] = main
    if debug:
        status["ephemeralContainerStatuses"] = debug
    return status | _resources(pod, old, given)


def _failure_text(failure: Trouble | None, old: Object) -> Object:
    if failure is not None:
        return {"reason": failure.reason, "message": failure.message}
    return {key: old[key] for key in ("reason", "message") if key in old}


def _ips(pod: Object, state: PodState, old: Object, given: StatusInput) -> Object:
    # On the host's network a pod has its address before anything of it is there.
    ips = list(given.host_ips) if podspec.is_host_network(pod) else []
    if not ips and state.sandbox is not None:
        ips = list(state.sandbox.ips)
    if ips:
        return {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    return {key: old[key] for key in ("podIP", "podIPs") if key in old}


def _resources(pod: Object, old: Object, given: StatusInput) -> Object:
    found: Object = {}
    if allocated := pod_requests_and_limits(pod)[0]:
        found["allocatedResources"] = allocated
    requests, limits = pod_requests_and_limits(with_resources(pod, given.resizing.before))
    shown: Object = {}
    if given.unbounded_memory and "memory" not in limits and old.get("phase") == "Running":
        limits = limits | {"memory": given.unbounded_memory}
    if limits:
        shown["limits"] = limits
    if requests:
        shown["requests"] = requests
    return found | {"resources": shown}
