"""Static pods: what a manifest in the node's own folder becomes, and its mirror, by which the API shows it. Pure.

https://kubernetes.io/docs/tasks/configure-pod-container/static-pod
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from kubelet import podspec
from machinery.api.resource import Object
from machinery.api.timestamps import rfc3339_micro
from machinery.structs import Struct

_HASH, _MIRROR = "kubernetes.io/config.hash", "kubernetes.io/config.mirror"
_SEEN, _SOURCE = "kubernetes.io/config.seen", "kubernetes.io/config.source"


class ManifestError(Exception):
    """A file that is no pod's manifest; the message says why."""


def static_pod(document: Any, path: str, node_name: str, now: datetime) -> Object:
    """The pod that the file at `path` asks for; raises ManifestError. Another content is another pod."""
    if not isinstance(document, dict) or document.get("kind") != "Pod" or document.get("apiVersion") != "v1":
        raise ManifestError("not a v1 Pod")
    metadata, spec = document.get("metadata") or {}, document.get("spec") or {}
    if not metadata.get("name"):
        raise ManifestError("the pod has no name")
    if not spec.get("containers"):
        raise ManifestError("the pod has no containers")
    wrong = _reaches_the_api(spec)
    if wrong:
        raise ManifestError(f"static pods can't use {wrong}")
    text = json.dumps([document, path, node_name], sort_keys=True)
    uid = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    notes = {_HASH: uid, _SEEN: rfc3339_micro(now), _SOURCE: "file"}
    tolerations = [*(spec.get("tolerations") or ()), {"operator": "Exists", "effect": "NoExecute"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **metadata,
            "name": f"{metadata['name']}-{node_name}",
            "namespace": metadata.get("namespace") or "default",
            "uid": uid,
            "generation": 1,
            "annotations": {**(metadata.get("annotations") or {}), **notes},
        },
        "spec": {"restartPolicy": "Always", **spec, "nodeName": node_name, "tolerations": tolerations},
        "status": {"phase": "Pending"},
    }


def _reaches_the_api(spec: Object) -> str:
    """What of the spec lives in the API, which a static pod must not depend on."""
    if spec.get("serviceAccountName"):
        return "a service account"
    for volume in spec.get("volumes") or ():
        for kind in ("configMap", "secret", "projected", "persistentVolumeClaim"):
            if kind in volume:
                return f"a {kind} volume"
    if spec.get("ephemeralContainers"):
        return "ephemeral containers"
    return ""


def mirror_of(pod: Object, node: Object) -> Object:
    """The pod's picture in the API, owned by the node."""
    metadata = pod["metadata"]
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": node["metadata"]["name"],
        "uid": node["metadata"]["uid"],
        "controller": True,
    }
    kept = {key: value for key, value in metadata.items() if key not in ("uid", "generation")}
    notes = {**metadata["annotations"], _MIRROR: metadata["annotations"][_HASH]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**kept, "annotations": notes, "ownerReferences": [owner]},
        "spec": pod["spec"],
    }


class MirrorPlan(Struct, frozen=True):
    """Mirrors to delete, then those to create; as `mirror_of` takes them."""

    delete: tuple[Object, ...] = ()
    create: tuple[Object, ...] = ()


def plan_mirrors(statics: Iterable[Object], there: Iterable[Object]) -> MirrorPlan:
    """What makes the API show exactly the static pods; `there` are all pods of the node."""
    wanted = {podspec.key(pod): pod for pod in statics}
    delete, kept = [], set()
    for mirror in filter(podspec.is_mirror, there):
        pod = wanted.get(podspec.key(mirror))
        if pod is None or podspec.is_deleted(mirror) or podspec.mirrored_uid(mirror) != podspec.uid(pod):
            delete.append(mirror)
        else:
            kept.add(podspec.key(mirror))
    return MirrorPlan(tuple(delete), tuple(pod for key, pod in wanted.items() if key not in kept))


def mirror_in(pods: Iterable[Object], pod: Object) -> Object | None:
    """The mirror of the static pod among the API's pods."""
    return next((each for each in pods if podspec.mirrored_uid(each) == podspec.uid(pod)), None)


def by_uid(pods: Iterable[Object]) -> Mapping[str, Object]:
    return {podspec.uid(pod): pod for pod in pods}
