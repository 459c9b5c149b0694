"""Questions that the kubelet asks a pod object, so that no decision digs in JSON twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from machinery.api.resource import Object


def namespace(pod: Object) -> str:
    return str(pod["metadata"].get("namespace", ""))


def name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def key(pod: Object) -> str:
    return f"{namespace(pod)}/{name(pod)}"


def full_name(pod: Object) -> str:
    """`name_namespace(uid)`: how messages about back-off name a pod."""
    return f"{name(pod)}_{namespace(pod)}({uid(pod)})"


def generation(pod: Object) -> int:
    return int(pod["metadata"].get("generation", 0))


def is_deleted(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def is_terminal(pod: Object) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def containers(pod: Object) -> list[Object]:
    return list(pod["spec"].get("containers") or [])


def init_containers(pod: Object) -> list[Object]:
    return list(pod["spec"].get("initContainers") or [])


def ephemeral_containers(pod: Object) -> list[Object]:
    return list(pod["spec"].get("ephemeralContainers") or [])


def all_containers(pod: Object) -> Iterator[Object]:
    yield from init_containers(pod)
    yield from containers(pod)
    yield from ephemeral_containers(pod)


def mounted(pod: Object, field: str) -> set[str]:
    """The volumes that containers name in `volumeMounts` or `volumeDevices`."""
    return {each["name"] for spec in all_containers(pod) for each in spec.get(field) or ()}


def container(pod: Object, container_name: str) -> Object | None:
    return next((found for found in all_containers(pod) if found["name"] == container_name), None)


def is_sidecar(spec: Object) -> bool:
    """Meaningful for an init container: one that runs on beside the main ones."""
    return spec.get("restartPolicy") == "Always"


def restart_policy(pod: Object) -> str:
    return str(pod["spec"].get("restartPolicy", "Always"))


def is_host_network(pod: Object) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def field_path(pod: Object, container_name: str) -> str:
    """`spec.containers{c}`: which part of the pod an event is about."""
    for field in ("containers", "initContainers", "ephemeralContainers"):
        if any(found["name"] == container_name for found in pod["spec"].get(field) or ()):
            return f"spec.{field}{{{container_name}}}"
    return ""


def grace_period(pod: Object) -> int:
    """Seconds between the stop signal and the kill; never less than one, as the signal must arrive first."""
    metadata, spec = pod["metadata"], pod["spec"]
    seconds = metadata.get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = spec.get("terminationGracePeriodSeconds", 30)
    return max(int(seconds), 1)


def container_hash(spec: Object) -> str:
    """Changes when a running container no longer is what the spec wants: only its image may be changed in place."""
    text = json.dumps([spec["name"], spec.get("image", "")])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def qos_class(pod: Object) -> str:
    """The API server has written it; a pod that lacks it is treated as one without requests."""
    return str(pod.get("status", {}).get("qosClass") or "BestEffort")


def source(pod: Object) -> str:
    """Where the pod comes from: `api`, or `file` for a static one."""
    return str((pod["metadata"].get("annotations") or {}).get("kubernetes.io/config.source", "api"))


def is_static(pod: Object) -> bool:
    return source(pod) == "file" and not is_mirror(pod)


def mirrored_uid(pod: Object) -> str:
    """The uid of the static pod of which this is the API's picture; empty for others."""
    return str((pod["metadata"].get("annotations") or {}).get("kubernetes.io/config.mirror", ""))


def is_mirror(pod: Object) -> bool:
    return bool(mirrored_uid(pod))
