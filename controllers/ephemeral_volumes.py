"""Generic ephemeral volumes: each gets a claim that its pod owns, and that goes with the pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from controllers.plan import Action, Controller, Create, Key, Plan, Record, controller_owner, key_of, owner_reference
from machinery.api.resource import Object
from machinery.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from machinery.api.views import Pod, View
from machinery.api.volumes import claim_names, ephemeral_claim, not_owned
from machinery.client.cache import Cache
from machinery.structs import Struct, field


class State(Struct, frozen=True):
    """`claims` are by name those that exist, whoever's they are."""

    pod: Pod
    claims: Mapping[str, View] = field(default_factory=dict)


def plan(state: State, now: datetime) -> Plan:
    pod = state.pod
    if pod.deleted:
        return Plan()
    actions: list[Action] = []
    for volume in pod.volumes:
        if not volume.get("ephemeral"):
            continue
        there = state.claims.get(ephemeral_claim(pod, volume))
        if there is None:
            actions.append(Create(PERSISTENT_VOLUME_CLAIMS, _claim(pod, volume)))
        elif (there.controller or {}).get("uid") != pod.uid:
            said = f"ephemeral volume {volume['name']}: {not_owned(there.name, pod.namespace, pod.name)}"
            actions.append(Record(pod.obj, "Warning", "FailedBinding", said))
    return Plan(actions)


def _claim(pod: Pod, volume: Object) -> Object:
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    given = template.get("metadata") or {}
    metadata = {
        "name": ephemeral_claim(pod, volume),
        "namespace": pod.namespace,
        "ownerReferences": [owner_reference(PODS, pod.obj)],
        **{each: given[each] for each in ("annotations", "labels") if given.get(each)},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}


def observe(cache: Cache, key: Key) -> State | None:
    found = cache.get(PODS, key.namespace, key.name)
    if found is None:
        return None
    pod = Pod(found)
    there = {name: cache.get(PERSISTENT_VOLUME_CLAIMS, pod.namespace, name) for name in claim_names(pod)}
    return State(pod, {name: View(obj) for name, obj in there.items() if obj is not None})


def _with_ephemeral(obj: Object) -> Iterable[Key]:
    if any(claim_names(Pod(obj)).values()):
        yield key_of(obj)


EPHEMERAL_VOLUMES = Controller(
    "ephemeral-volume",
    wakes={PODS: _with_ephemeral, PERSISTENT_VOLUME_CLAIMS: controller_owner("Pod")},
    observe=observe,
    plan=plan,
    component="ephemeral_volume",
)
