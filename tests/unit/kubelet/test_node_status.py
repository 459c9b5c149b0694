"""The Node and its Lease: what they say of this machine, that they are made once, kept, and made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubelet.config import KubeletConfig
from kubelet.cri_values import RuntimeHandler, RuntimeStatus
from kubelet.node_events import node_events
from kubelet.node_health import Health
from kubelet.node_status import Facts, Reporter, facts, huge_pages, node_labels, node_status, run
from machinery.api.errors import AlreadyExists
from machinery.api.patch import merge_patch
from machinery.api.resource import Object, Resource
from machinery.api.resources import LEASES, NODES
from machinery.client.cache import Change
from machinery.client.client import ObjectList, PatchType, WatchEvent

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CONFIG = KubeletConfig(node_name="n", node_addresses=lambda: ("192.0.2.1",), port=10333)
FACTS = Facts("host", 4, 8 << 30, 100 << 30, "amd64", "6.1", "Debian 12", "machine", "boot", {2 << 20: 8, 1 << 30: 0})


def status_of(old: Object | None = None, now: datetime = NOW) -> Object:
    return node_status(CONFIG, FACTS, "minikube-py://0.1.0", old or {}, now)


def test_capacity_is_the_machine_s_and_allocatable_what_pods_may_have() -> None:
    status = status_of()
    assert status["capacity"] == {
        "cpu": "4",
        "memory": "8388608Ki",
        "pods": "110",
        "ephemeral-storage": "104857600Ki",
        "hugepages-2Mi": "16Mi",
        "hugepages-1Gi": "0",
    }
    assert status["allocatable"] == status["capacity"] | {
        "memory": f"{8388608 - 102400 - 16384}Ki",
        "ephemeral-storage": str((100 << 30) * 9 // 10),
    }


def test_what_others_advertise_of_the_node_is_allotted_as_it_is() -> None:
    status = status_of({"capacity": {"example.com/dongle": "4", "hugepages-32Mi": "0"}})
    assert status["capacity"]["example.com/dongle"] == status["allocatable"]["example.com/dongle"] == "4"
    assert "hugepages-32Mi" not in status["capacity"]
    assert "example.com/dongle" not in status_of({"allocatable": {"example.com/dongle": "4"}})["allocatable"]


def test_conditions_are_worded_as_upstream_s() -> None:
    assert [(c["type"], c["status"], c["reason"], c["message"]) for c in status_of()["conditions"]] == [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]


def test_a_condition_keeps_the_time_of_its_change_and_others_stay() -> None:
    old = status_of()
    old["conditions"][3] = {**old["conditions"][3], "status": "Unknown"}
    old["conditions"].append({"type": "NetworkUnavailable", "status": "False"})
    later = {c["type"]: c for c in status_of(old, NOW + timedelta(hours=1))["conditions"]}
    assert later["MemoryPressure"]["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    assert later["MemoryPressure"]["lastHeartbeatTime"] == "2026-01-02T04:04:05Z"
    assert later["Ready"]["lastTransitionTime"] == "2026-01-02T04:04:05Z"
    assert later["NetworkUnavailable"] == {"type": "NetworkUnavailable", "status": "False"}


def test_where_and_what_the_node_is() -> None:
    status = status_of()
    assert status["addresses"][0] == {"type": "InternalIP", "address": "192.0.2.1"}
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10333}}
    assert status["nodeInfo"]["containerRuntimeVersion"] == "minikube-py://0.1.0"
    assert status["nodeInfo"]["kubeletVersion"] == "v1.36.2"
    assert node_labels(CONFIG, FACTS)["kubernetes.io/hostname"] == "n"
    assert node_labels(CONFIG, FACTS)["node-role.kubernetes.io/control-plane"] == ""


def test_this_machine_has_facts(tmp_path: Path) -> None:
    found = facts(tmp_path / "not" / "yet")
    assert found.cpus > 0
    assert found.memory > 0
    assert found.disk > 0
    assert found.boot_id


def test_huge_pages_are_counted_by_size(tmp_path: Path) -> None:
    for name, count in (("hugepages-2048kB", "3"), ("hugepages-1048576kB", "0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "nr_hugepages").write_text(f"{count}\n")
    assert huge_pages(tmp_path) == {2 << 20: 3, 1 << 30: 0}
    assert huge_pages(tmp_path / "absent") == {}


class Cluster:
    """Client, cache and clock in one: objects live in a dict, and time goes on when the kubelet sleeps."""

    def __init__(self, rounds: int) -> None:
        self.objects: dict[tuple[Resource, str], Object] = {}
        self.statuses = 0
        self.renewals: list[str] = []
        self.fails = 0
        self.each_round: Callable[[int], None] = lambda _: None
        self.each_status: Callable[[], None] = lambda: None
        self._rounds = rounds
        self._round = 0
        self._now = NOW

    # The clock

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    async def sleep(self, seconds: float) -> None:
        self._round += 1
        self._now += timedelta(seconds=seconds)
        self.each_round(self._round)
        if self._round >= self._rounds:
            raise asyncio.CancelledError

    def awake_since(self) -> datetime:
        return NOW

    def wake_on_jump(self, event: asyncio.Event) -> None:
        """Nobody waits for it."""

    # The cache

    @property
    def revision(self) -> int:
        return 1

    def owned_by(self, resource: Resource, uid: str) -> Sequence[Object]:
        return []

    def on_node(self, node: str) -> Sequence[Object]:
        return []

    def labelled(self, resource: Resource, namespace: str, key: str, value: str) -> Sequence[Object]:
        return []

    def subscribe(self, resource: Resource, handler: Callable[[Change], None]) -> Callable[[], None]:
        return lambda: None

    async def wait_for(self, revision: int) -> None:
        return


class ClusterCache(Cluster):
    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self.objects.get((resource, name))

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        return [obj for (kind, _), obj in self.objects.items() if kind == resource]


class Api:
    """The client on a `ClusterCache`'s objects."""

    def __init__(self, cluster: ClusterCache) -> None:
        self._cluster = cluster

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return self._cluster.objects[resource, name]

    async def list(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> ObjectList:
        raise NotImplementedError

    def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str, labels: str = "", fields: str = ""
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent]]:
        raise NotImplementedError

    async def create(
        self, resource: Resource, obj: Object, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> Object:
        if self._cluster.fails:
            self._cluster.fails -= 1
            raise RuntimeError("the API does not answer")
        key = (resource, obj["metadata"]["name"])
        if key in self._cluster.objects:
            raise AlreadyExists("there already")
        stored = {**obj, "metadata": {**obj["metadata"], "uid": "uid"}}
        self._cluster.objects[key] = stored
        return stored

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        self._cluster.objects[resource, obj["metadata"]["name"]] = obj
        self._cluster.renewals.append(obj["spec"]["renewTime"])
        return obj

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        old = self._cluster.objects[resource, name]
        if subresource == "status":
            self._cluster.statuses += 1
            self._cluster.each_status()
        new = self._cluster.objects[resource, name] = merge_patch(old, patch)
        return new

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str = "",
    ) -> Object:
        raise NotImplementedError


async def keep(cluster: ClusterCache, folder: Path) -> None:
    config = KubeletConfig(node_name="n", node_addresses=lambda: ("192.0.2.1",), root_dir=folder)
    with pytest.raises(asyncio.CancelledError):
        found = await asyncio.to_thread(facts, folder)
        reporter = Reporter(config, Api(cluster), cluster, cluster, found, "minikube-py://0.1.0")
        await run(reporter, cluster, asyncio.Event())


async def test_the_node_is_registered_and_its_lease_renewed_every_ten_seconds(tmp_path: Path) -> None:
    cluster = ClusterCache(rounds=4)
    await keep(cluster, tmp_path)
    assert cluster.objects[NODES, "n"]["status"]["conditions"][3]["status"] == "True"
    lease = cluster.objects[LEASES, "n"]
    assert lease["spec"]["leaseDurationSeconds"] == 40
    assert lease["metadata"]["ownerReferences"][0]["uid"] == "uid"
    assert cluster.renewals == [f"2026-01-02T03:04:{second}.000000Z" for second in (15, 25, 35)]
    assert cluster.statuses == 1, "nothing has changed"


async def test_the_status_is_told_again_after_five_minutes(tmp_path: Path) -> None:
    cluster = ClusterCache(rounds=31)
    await keep(cluster, tmp_path)
    assert cluster.statuses == 2


async def test_a_node_that_is_there_is_adopted(tmp_path: Path) -> None:
    cluster = ClusterCache(rounds=1)
    cluster.objects[NODES, "n"] = {
        "metadata": {"name": "n", "uid": "old", "labels": {"mine": "kept"}},
        "spec": {"unschedulable": True},
    }
    await keep(cluster, tmp_path)
    node = cluster.objects[NODES, "n"]
    assert node["spec"] == {"unschedulable": True}
    assert node["metadata"]["labels"]["mine"] == "kept"
    assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
    assert node["status"]["capacity"]["pods"] == "110"


async def test_who_finds_the_node_ready_finds_its_lease_renewed(tmp_path: Path) -> None:
    cluster = ClusterCache(rounds=1)
    cluster.objects[NODES, "n"] = {"metadata": {"name": "n", "uid": "old"}, "spec": {}}
    spec = {"renewTime": "2026-01-02T02:00:00.000000Z", "holderIdentity": "n"}
    cluster.objects[LEASES, "n"] = {"metadata": {"name": "n"}, "spec": spec}
    renewed_before: list[int] = []
    cluster.each_status = lambda: renewed_before.append(len(cluster.renewals))
    await keep(cluster, tmp_path)
    assert renewed_before == [1]


async def test_a_node_that_was_given_up_is_told_ready_again_soon(tmp_path: Path) -> None:
    cluster = ClusterCache(rounds=3)

    def give_up(number: int) -> None:
        if number == 1:
            node = cluster.objects[NODES, "n"]
            conditions = [{**each, "status": "Unknown"} for each in node["status"]["conditions"]]
            cluster.objects[NODES, "n"] = {**node, "status": {**node["status"], "conditions": conditions}}

    cluster.each_round = give_up
    await keep(cluster, tmp_path)
    assert cluster.statuses == 2
    assert {c["type"]: c["status"] for c in cluster.objects[NODES, "n"]["status"]["conditions"]}["Ready"] == "True"


async def test_a_resource_is_allotted_soon_after_somebody_has_advertised_it(tmp_path: Path) -> None:
    cluster = ClusterCache(rounds=4)

    def advertise(number: int) -> None:
        node = cluster.objects[NODES, "n"]
        capacity = {**node["status"]["capacity"], "example.com/dongle": "4"}
        if number == 2:
            assert node["status"]["allocatable"]["example.com/dongle"] == "4"
            del capacity["example.com/dongle"]
        if number in (1, 2):
            cluster.objects[NODES, "n"] = {**node, "status": {**node["status"], "capacity": capacity}}

    cluster.each_round = advertise
    await keep(cluster, tmp_path)
    assert cluster.statuses == 3
    assert "example.com/dongle" not in cluster.objects[NODES, "n"]["status"]["allocatable"]


async def test_a_deleted_node_comes_back(tmp_path: Path) -> None:
    cluster = ClusterCache(rounds=2)

    def delete(number: int) -> None:
        if number == 1:
            del cluster.objects[NODES, "n"]

    cluster.each_round = delete
    await keep(cluster, tmp_path)
    assert (NODES, "n") in cluster.objects


async def test_an_api_that_does_not_answer_is_asked_again_soon(tmp_path: Path) -> None:
    cluster = ClusterCache(rounds=3)
    cluster.fails = 2
    await keep(cluster, tmp_path)
    assert (NODES, "n") in cluster.objects
    assert cluster.now() == NOW + timedelta(seconds=1 + 1 + 10)


def test_what_has_changed_of_the_node_is_told_by_events() -> None:
    healthy, pressed = status_of(), status_of()
    pressed["conditions"][1] = {**pressed["conditions"][1], "status": "True"}
    pressed["conditions"][3] = {**pressed["conditions"][3], "status": "False"}
    assert node_events("n", healthy, healthy) == []
    assert node_events("n", healthy, pressed) == [
        ("Normal", "NodeHasDiskPressure", "Node n status is now: NodeHasDiskPressure"),
        ("Normal", "NodeNotReady", "Node n status is now: NodeNotReady"),
    ]
    rebooted = {**healthy, "nodeInfo": {**healthy["nodeInfo"], "bootID": "another"}}
    assert node_events("n", healthy, rebooted) == [
        ("Warning", "Rebooted", "Node n has been rebooted, boot id: another")
    ]
    assert len(node_events("n", {}, healthy)) == 4


def test_what_the_runtime_can_do_is_told() -> None:
    handlers = (RuntimeHandler("", recursive_read_only_mounts=True), RuntimeHandler("special", user_namespaces=True))
    health = Health(runtime=RuntimeStatus((), handlers, supplemental_groups_policy=True))
    status = node_status(CONFIG, FACTS, "x", {}, NOW, health)
    assert status["features"] == {"supplementalGroupsPolicy": True}
    assert status["runtimeHandlers"] == [
        {"name": "", "features": {"recursiveReadOnlyMounts": True, "userNamespaces": False}},
        {"name": "special", "features": {"recursiveReadOnlyMounts": False, "userNamespaces": True}},
    ]
    unwell = node_status(CONFIG, FACTS, "x", {}, NOW, Health(runtime=RuntimeStatus(("why",))))
    assert unwell["conditions"][3]["message"] == "why" and "runtimeHandlers" not in unwell
