"""Malformed pods that are bound to the node: the kubelet's other pods run, change and end as if there were none."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiserver.storage.sqlite import SqliteStore
from machinery.api.resource import Object
from machinery.api.resources import PODS
from tests.fake_runtime import FakeRuntime
from tests.kubelet_world import IMAGE, World, phase_is, world
from tests.malformed import from_schema, key_of, malformed, stored

DEADLINE = 30.0
_CONTAINER = {"name": "c", "image": IMAGE, "imagePullPolicy": "IfNotPresent"}
# Each is put into a sound pod's spec, or into that of its one container.
SPECS: list[Object] = [
    {"containers": None},
    {"containers": []},
    {"containers": [{}, {}]},
    {"containers": [{"name": "c"}]},
    {"containers": [_CONTAINER, _CONTAINER]},
    {"initContainers": [{}]},
    {"restartPolicy": "Perhaps"},
    {"terminationGracePeriodSeconds": -5},
    {"activeDeadlineSeconds": -1},
    {"volumes": [{"name": "v"}, {"name": "v"}, {"name": ""}]},
    {"volumes": [{"name": "v", "configMap": {}}, {"name": "w", "secret": {"items": [{}]}}]},
    {"volumes": [{"name": "v", "projected": {"sources": [{}, {"downwardAPI": {"items": [{}]}}]}}]},
    {"volumes": [{"name": "../../v", "emptyDir": {"sizeLimit": "-1"}}]},
    {"securityContext": {"runAsUser": -1, "sysctls": [{}], "supplementalGroups": [-1]}},
    {"hostAliases": [{}]},
    {"dnsPolicy": "Nobody", "dnsConfig": {"options": [{}]}},
    {"tolerations": [{}], "readinessGates": [{}], "topologySpreadConstraints": [{}]},
    {"hostname": "../odd", "subdomain": "\n"},
    {"serviceAccountName": "ghost"},
]
CONTAINERS: list[Object] = [
    {"image": ""},
    {"image": "://"},
    {"imagePullPolicy": "Sometimes"},
    {"env": [{}, {"name": "A", "valueFrom": {}}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "nowhere"}}}]},
    {"env": [{"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "none", "divisor": "0"}}}]},
    {"envFrom": [{}]},
    {"ports": [{}, {"containerPort": 99999, "hostPort": -1, "protocol": "ODD"}]},
    {"resources": {"limits": {"cpu": "-1", "memory": "999999999Ei", "odd": "1"}, "requests": {"cpu": "9999999999"}}},
    {"volumeMounts": [{}, {"name": "nobody's", "mountPath": "relative", "subPath": "../.."}]},
    {"livenessProbe": {}, "readinessProbe": {"httpGet": {"port": "nowhere"}, "periodSeconds": -1}},
    {"startupProbe": {"tcpSocket": {"port": 99999999}, "failureThreshold": -1, "timeoutSeconds": 0}},
    {"lifecycle": {"preStop": {}, "postStart": {"exec": {}}}},
    {"securityContext": {"capabilities": {"add": [""]}, "seccompProfile": {}, "procMount": "Odd"}},
    {"terminationMessagePath": "\u0000", "terminationMessagePolicy": "Odd", "workingDir": "\u0000"},
]
STATUSES: list[Object] = [
    {"phase": "Nowhere"},
    {"phase": "Running", "startTime": "0001-01-01T00:00:00Z", "containerStatuses": [{}, {"name": "c"}]},
    {"phase": "Running", "conditions": [{}, {"type": "Ready"}], "podIPs": [{}], "hostIPs": [{}]},
    {"initContainerStatuses": [{"name": "x", "state": {"terminated": {}}, "lastState": {"running": {}}}]},
]


def bound(name: str, spec: Object | None = None, **parts: Any) -> bytes:
    obj = stored(PODS, "default", name)
    whole = {"nodeName": "n", "containers": [copy.deepcopy(_CONTAINER)], **(spec or {})}
    return orjson.dumps({**obj, "spec": whole, **parts})


def odd_pods() -> dict[str, bytes]:
    found = {f"spec-{number}": spec for number, spec in enumerate(SPECS)}
    found |= {f"container-{number}": {"containers": [{**_CONTAINER, **each}]} for number, each in enumerate(CONTAINERS)}
    made = {name: bound(name, spec) for name, spec in found.items()}
    for number, status in enumerate(STATUSES):
        made[f"status-{number}"] = bound(f"status-{number}", status=status)
    for name, value in malformed(PODS, "default"):
        # The spec of the example is that of any pod: here it is this node's.
        made[name] = value.replace(b'"spec":{"containers"', b'"spec":{"nodeName":"n","containers"')
    return made


async def put(store: SqliteStore, found: World, name: str, value: bytes) -> None:
    key = key_of(PODS, "default", name)
    there = (await store.range(key)).items
    done = await store.put(key, value, expected=there[0].mod_revision if there else 0)
    await found.server.cache.wait_for(done.revision)


async def runs_and_ends(found: World, name: str) -> None:
    """A sound pod's whole life."""
    async with asyncio.timeout(DEADLINE):
        await found.pod(name)
        await found.until(name, phase_is("Running"))
        await found.client.delete(PODS, name, "default")
        await found.until_gone(name)


async def test_malformed_pods_stop_no_other_pods_worker(tmp_path: Path) -> None:
    store = await SqliteStore.open(None)
    async with world(tmp_path, FakeRuntime(images={IMAGE}), store) as found:
        await found.pod("before")
        await found.until("before", phase_is("Running"))
        for name, value in odd_pods().items():
            await put(store, found, name, value)
        await runs_and_ends(found, "between")
        for name in odd_pods():
            for item in (await store.range(key_of(PODS, "default", name))).items:
                await store.delete(item.key, expected=item.mod_revision)
        await runs_and_ends(found, "after")
        await found.client.delete(PODS, "before", "default")
        await found.until_gone("before")


async def test_a_kubelet_starts_over_malformed_pods(tmp_path: Path) -> None:
    store = await SqliteStore.open(None)
    for name, value in odd_pods().items():
        await store.put(key_of(PODS, "default", name), value, expected=0)
    async with world(tmp_path, FakeRuntime(images={IMAGE}), store) as found:
        await runs_and_ends(found, "sound")


@given(data=st.data())
@settings(max_examples=1, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
async def test_pods_made_from_the_schema_stop_no_other(tmp_path_factory: Any, data: st.DataObject) -> None:
    store = await SqliteStore.open(None)
    made = [data.draw(from_schema(PODS)) for _ in range(40)]
    async with world(tmp_path_factory.mktemp("world"), FakeRuntime(images={IMAGE}), store) as found:
        for number, obj in enumerate(made):
            sound = stored(PODS, "default", f"made-{number}")
            metadata = obj.get("metadata")
            obj["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), **sound["metadata"]}
            if isinstance(obj.get("spec"), dict):
                obj["spec"] = {"containers": [_CONTAINER], **obj["spec"], "nodeName": "n"}
            await put(store, found, f"made-{number}", json.dumps(obj).encode())
        await runs_and_ends(found, "sound")
