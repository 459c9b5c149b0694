"""What the scheduler knows of the cluster, followed change by change, and the snapshot that it gives for a pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)
from machinery.api.selectors import LabelSelector, from_label_selector, from_labels
from machinery.api.volumes import PersistentVolumeClaim, claim_names
from machinery.client.cache import Change
from scheduler.keys import PodKey
from scheduler.memo import Memo
from scheduler.node_infos import NodeInfos
from scheduler.pod_info import PodInfo, Shapes
from scheduler.snapshot import Claim, Snapshot

FOLLOWED = (PODS, NODES, NAMESPACES)
"""The resources of which every change must be seen."""

_OWNERS = {each.kind: each for each in (REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS)}


class Reader(Protocol):
    """The part of a `Cache` that is read, for what is looked up only when a pod needs it."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]: ...


class Cluster:
    """Tell it with `see` of every change of what is FOLLOWED, and of its own decisions with `assume` and `nominate`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.shapes = Shapes()
        self.infos = NodeInfos(self.shapes)
        self._memo = Memo()
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._nominated: dict[PodKey, tuple[str, PodInfo]] = {}
        self._turn = 0
        self._start = 0

    def see(self, change: Change) -> None:
        metadata = change.object["metadata"]
        if change.resource == PODS:
            self._see_pod(change.before, change.after)
        elif change.resource == NODES:
            if change.after is not None:
                self.infos.put_node(change.after)
            else:
                self.infos.remove_node(metadata["name"])
                self._memo.forget(metadata["name"])
        elif change.resource == NAMESPACES:
            # Snapshots hold on to what there was.
            others = {name: labels for name, labels in self._namespaces.items() if name != metadata["name"]}
            labels = metadata.get("labels") or {}
            self._namespaces = others if change.after is None else {**others, metadata["name"]: labels}

    def _see_pod(self, before: Object | None, after: Object | None) -> None:
        if before is not None and after is not None and before["metadata"]["uid"] != after["metadata"]["uid"]:
            # A namesake took its place while nobody looked.
            self._lose(_key(before))
        if after is None or (after.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            gone = after if after is not None else before
            assert gone is not None
            self._lose(_key(gone))
        elif after["spec"].get("nodeName"):
            self.infos.put_pod(after)
            self._nominated.pop(_key(after), None)
        elif node := _nominated(after):
            self.nominate(self.shapes.info(after), node)
        elif _nominated(before):
            self._nominated.pop(_key(after), None)

    def _lose(self, key: PodKey) -> None:
        self.infos.remove_pod(key)
        self._nominated.pop(key, None)

    def nominate(self, pod: PodInfo, node: str) -> None:
        """Keeps room on the node for a pod that waits for its victims to go; "" keeps none any more."""
        if node and not self.infos.is_placed(pod.key):
            self._nominated[pod.key] = (node, pod)
        else:
            self._nominated.pop(pod.key, None)

    def lesser_nominated(self, node: str, priority: int) -> list[PodInfo]:
        """The pods of lower priority that wait for room on the node."""
        return [pod for where, pod in self._nominated.values() if where == node and pod.priority < priority]

    def nomination(self, key: PodKey) -> str:
        found = self._nominated.get(key)
        return found[0] if found else ""

    def snapshot(self, pod: PodInfo) -> Snapshot:
        """For one attempt; the turn moves on with each."""
        self._turn += 1
        names = claim_names(pod.shape.example)
        claims = self._claims(pod.key.namespace, names) if names else {}
        return Snapshot(
            nodes=self.infos.view(),
            marks=self.infos.marks,
            stamp=self.infos.stamp,
            claims=claims,
            volumes=self._volumes(claims),
            namespaces=self._namespaces,
            owner_selector=self._owner_selector(pod),
            nominated=self._nominations(pod.key),
            nomination=self.nomination(pod.key),
            turn=self._turn,
            start=self._start,
            memo=self._memo,
        )

    def looked_at(self, nodes: int) -> None:
        """Where there are many nodes, the next look begins behind those that this one saw."""
        total = len(self.infos.view())
        self._start = (self._start + nodes) % total if total else 0

    def budgets(self) -> tuple[Object, ...]:
        return tuple(self._reader.list(POD_DISRUPTION_BUDGETS))

    def _nominations(self, key: PodKey) -> dict[str, tuple[PodInfo, ...]]:
        found: dict[str, tuple[PodInfo, ...]] = {}
        for node, pod in self._nominated.values():
            if pod.key != key:
                found[node] = (*found.get(node, ()), pod)
        return found

    def _claims(self, namespace: str, names: Mapping[str, bool]) -> dict[str, Claim]:
        found = {}
        for name in names:
            claim = self._reader.get(PERSISTENT_VOLUME_CLAIMS, namespace, name)
            if claim is None:
                continue
            spec = claim["spec"]
            storage_class = self._reader.get(STORAGE_CLASSES, "", PersistentVolumeClaim(claim).storage_class)
            waits = (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
            volume = self._reader.get(PERSISTENT_VOLUMES, "", spec.get("volumeName") or "")
            # A claim that names its volume waits for the controller to bind it, not for a node.
            found[name] = Claim(claim, waits and not spec.get("volumeName"), volume, storage_class)
        return found

    def _volumes(self, claims: Mapping[str, Claim]) -> tuple[Object, ...]:
        if not any(claim.waits_for_consumer for claim in claims.values()):
            return ()
        classes = {PersistentVolumeClaim(claim.obj).storage_class for claim in claims.values()}
        found = self._reader.list(PERSISTENT_VOLUMES)
        return tuple(volume for volume in found if volume["spec"].get("storageClassName") in classes)

    def _owner_selector(self, pod: PodInfo) -> LabelSelector | None:
        """Of the pods beside which it is spread: those of its Services and of its owner."""
        labels = pod.shape.labels
        if not labels or pod.shape.example.obj["spec"].get("topologySpreadConstraints"):
            return None
        namespace = pod.key.namespace
        merged: dict[str, str] = {}
        for service in self._reader.list(SERVICES, namespace):
            selector = service["spec"].get("selector")
            if selector and selector.items() <= labels.items():
                merged.update(selector)
        requirements = from_labels(merged).requirements if merged else ()
        requirements += self._selector_of(pod.shape.example.controller, namespace).requirements
        return LabelSelector(requirements) if requirements else None

    def _selector_of(self, controller: Object | None, namespace: str) -> LabelSelector:
        resource = _OWNERS.get(controller["kind"]) if controller else None
        if controller is None or resource is None:
            return LabelSelector()
        owner = self._reader.get(resource, namespace, controller["name"])
        selector = owner["spec"].get("selector") if owner else None
        if not selector:
            return LabelSelector()
        return from_labels(selector) if resource == REPLICATION_CONTROLLERS else from_label_selector(selector)


def _nominated(pod: Object | None) -> str:
    found: str = ((pod or {}).get("status") or {}).get("nominatedNodeName") or ""
    return found


def _key(obj: Object) -> PodKey:
    metadata = obj["metadata"]
    return PodKey(metadata.get("namespace", ""), metadata["name"], metadata.get("uid", ""))
