"""The ServiceAccount `default` of every namespace that is not ending."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controllers.plan import Controller, Create, Key, Plan, itself
from machinery.api.resource import Object
from machinery.api.resources import NAMESPACES, SERVICE_ACCOUNTS
from machinery.api.views import Namespace
from machinery.client.cache import Cache
from machinery.structs import Struct

NAME = "default"


class State(Struct, frozen=True):
    namespace: Namespace
    exists: bool


def plan(state: State, now: datetime) -> Plan:
    if state.exists or state.namespace.deleted:
        return Plan()
    metadata = {"name": NAME, "namespace": state.namespace.name}
    return Plan([Create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})])


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(NAMESPACES, "", key.name)
    if found is None:
        return None
    return State(Namespace(found), cache.get(SERVICE_ACCOUNTS, key.name, NAME) is not None)


def its_namespace(obj: Object) -> Iterable[Key]:
    if obj["metadata"]["name"] == NAME:
        yield Key("", obj["metadata"]["namespace"])


SERVICE_ACCOUNT = Controller(
    "serviceaccount",
    wakes={NAMESPACES: itself, SERVICE_ACCOUNTS: its_namespace},
    observe=observe,
    plan=plan,
    identity="service-account-controller",
)
