"""The ConfigMap kube-root-ca.crt of every namespace: how a pod knows the API server."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controllers.plan import Controller, Create, Key, Plan, Update, itself
from machinery.api.resource import Object
from machinery.api.resources import CONFIG_MAPS, NAMESPACES
from machinery.api.views import Namespace
from machinery.client.cache import Cache
from machinery.structs import Struct

NAME = "kube-root-ca.crt"
_ABOUT = {
    "kubernetes.io/description": (
        "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
        "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
        "Kubernetes clusters."
    )
}


class State(Struct, frozen=True):
    namespace: Namespace
    published: Object | None


def root_ca_publisher(root_ca: str) -> Controller:
    """A controller that publishes `root_ca` (PEM)."""
    data = {"ca.crt": root_ca}

    def plan(state: State, now: datetime) -> Plan:
        if state.namespace.deleted:
            return Plan()
        if state.published is None:
            metadata = {"name": NAME, "namespace": state.namespace.name, "annotations": _ABOUT}
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            return Plan([Create(CONFIG_MAPS, made)])
        annotations = state.published["metadata"].get("annotations") or {}
        if state.published.get("data") == data and all(annotations.get(name) for name in _ABOUT):
            return Plan()
        metadata = {**state.published["metadata"], "annotations": {**annotations, **_ABOUT}}
        return Plan([Update(CONFIG_MAPS, {**state.published, "metadata": metadata, "data": data})])

    return Controller(
        "root-ca-certificate-publisher",
        wakes={NAMESPACES: itself, CONFIG_MAPS: _its_namespace},
        observe=observe,
        plan=plan,
        identity="root-ca-cert-publisher",
    )


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(NAMESPACES, "", key.name)
    return None if found is None else State(Namespace(found), cache.get(CONFIG_MAPS, key.name, NAME))


def _its_namespace(obj: Object) -> Iterable[Key]:
    if obj["metadata"]["name"] == NAME:
        yield Key("", obj["metadata"]["namespace"])
