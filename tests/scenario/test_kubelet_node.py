"""What the node gives pods and takes back: resizing in place, refusal, eviction."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kubelet.cri import Cri
from kubelet.eviction import Observation, Signal
from kubelet.evictor import Evictor
from kubelet.logrotation import LogRotator
from machinery.api.resource import Object
from machinery.api.resources import PODS, RUNTIME_CLASSES
from machinery.client.clock import SystemClock
from machinery.structs import replace
from tests.fake_runtime import FakeRuntime
from tests.kubelet_world import IMAGE, phase_is, world


def resources(**requests: str) -> Object:
    return {"spec": {"containers": [{"name": "c", "image": IMAGE, "resources": {"requests": requests}}]}}


async def test_a_resize_reaches_the_running_container_and_is_told(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE})
    async with world(tmp_path, runtime) as found:
        await found.pod("p", {"resources": {"requests": {"cpu": "10m", "memory": "5Mi"}}})
        await found.until("p", phase_is("Running"))
        await found.patch("p", resources(cpu="20m", memory="5Mi"), "resize")
        pod = await found.until("p", lambda pod: _requests(pod).get("cpu") == "20m")
        assert runtime.calls == ["update c 20 0"]
        assert "PodResizeInProgress" not in {c["type"] for c in pod["status"]["conditions"]}
        assert pod["status"]["allocatedResources"] == {"cpu": "20m", "memory": "5Mi"}
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
        event = await found.until_told("ResizeCompleted")
        assert event["message"].startswith('Pod resize completed: {"containers":[{"name":"c","resources":{"requests":')


async def test_a_resize_that_can_t_be_waits_and_a_failed_one_says_why(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE}, update_error="no")
    async with world(tmp_path, runtime) as found:
        await found.pod("p", {"resources": {"requests": {"cpu": "10m"}}})
        await found.until("p", phase_is("Running"))
        await found.patch("p", resources(cpu="100000"), "resize")
        pod = await found.until("p", lambda pod: "PodResizePending" in _conditions(pod))
        assert _conditions(pod)["PodResizePending"]["reason"] == "Infeasible"
        assert pod["status"]["containerStatuses"][0]["allocatedResources"] == {"cpu": "10m"}
        await found.patch("p", resources(cpu="20m"), "resize")
        pod = await found.until("p", lambda pod: "PodResizeInProgress" in _conditions(pod))
        assert "PodResizePending" not in _conditions(pod)
        event = await found.until_told("ResizeError")
        assert event["message"].endswith('"error":"no"}')


async def test_a_resize_restarts_where_the_policy_asks_for_it(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime(images={IMAGE})) as found:
        policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
        await found.pod("p", {"resources": {"requests": {"cpu": "10m"}}, "resizePolicy": policy})
        await found.until("p", phase_is("Running"))
        wanted = resources(cpu="20m")
        # A merge patch replaces the list, and the policy may not go.
        wanted["spec"]["containers"][0]["resizePolicy"] = policy
        await found.patch("p", wanted, "resize")
        pod = await found.until("p", lambda pod: _requests(pod).get("cpu") == "20m")
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 1
        event = await found.until_told("ResizeCompleted")
        assert event["reportingComponent"] == "kubelet"
        messages = [e["message"] for e in found.events("p") if e["reason"] == "Killing"]
        assert messages == ["Container c resize requires restart"]


async def test_a_pod_for_which_there_is_no_room_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime(images={IMAGE})) as found:
        await found.pod("p", {"resources": {"requests": {"cpu": "100000"}}})
        pod = await found.until("p", phase_is("Failed"))
        assert pod["status"]["reason"] == "OutOfcpu"
        assert pod["status"]["message"].startswith(
            "Pod was rejected: Node didn't have enough resource: cpu, requested: "
        )
        assert "containerStatuses" not in pod["status"]


async def test_of_two_pods_that_want_the_same_port_of_the_node_the_first_has_it(tmp_path: Path) -> None:
    port = {"ports": [{"containerPort": 80, "hostPort": 8080}]}
    async with world(tmp_path, FakeRuntime(images={IMAGE})) as found:
        await asyncio.gather(found.pod("a", port), found.pod("b", port))
        pod = await found.until("b", phase_is("Failed"))
        assert pod["status"]["reason"] == "NodePorts"
        said = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
        assert pod["status"]["message"] == f"Pod was rejected: {said}"
        event = await found.until_told("NodePorts")
        assert (event["type"], event["message"]) == ("Warning", said)
        await found.until("a", phase_is("Running"))
        await found.client.delete(PODS, "a", "default")
        await found.until_gone("a")
        await found.pod("c", port)
        await found.until("c", phase_is("Running"))


async def test_a_pod_whose_labels_the_node_has_not_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime(images={IMAGE})) as found:
        await found.node()
        await found.pod("there", nodeSelector={"kubernetes.io/hostname": "n"})
        await found.until("there", phase_is("Running"))
        await found.pod("not-there", nodeSelector={"disk": "ssd"})
        pod = await found.until("not-there", phase_is("Failed"))
        assert pod["status"]["reason"] == "NodeAffinity"
        assert (await found.until_told("NodeAffinity"))["message"] == (
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        )


async def test_a_critical_pod_begins_once_another_has_made_room(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE})
    async with world(tmp_path, runtime) as found:
        cpus = (await found.node())["status"]["allocatable"]["cpu"]
        await found.pod("p", {"resources": {"requests": {"cpu": cpus}}})
        await found.until("p", phase_is("Running"))
        await found.pod("critical", {"resources": {"requests": {"cpu": "1"}}}, priorityClassName="system-node-critical")
        pod = await found.until("p", phase_is("Failed"))
        said = "Preempted in order to admit critical pod"
        assert (pod["status"]["reason"], pod["status"]["message"]) == ("Preempting", said)
        target = _conditions(pod)["DisruptionTarget"]
        assert target["reason"] == "TerminationByKubelet"
        assert target["message"] == "Pod was preempted by Kubelet to accommodate a critical pod."
        assert (await found.until_told("Preempting"))["message"] == said
        await found.until("critical", phase_is("Running"))


def told(type_: str, reason: str, message: str) -> None:
    del type_, reason, message


async def nothing() -> None:
    """There is nothing to reclaim."""


async def test_unused_images_go_before_pods(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime(images={IMAGE})) as found:
        await found.pod("p")
        await found.until("p", phase_is("Running"))
        free = [5 << 30]

        async def reclaim() -> None:
            free[0] = 50 << 30

        def look(root: Path, images: Path | None) -> dict[Signal, Observation]:
            return {Signal.IMAGE_DISK: Observation(free[0], 100 << 30)}

        async with Cri(found.config.runtime_endpoint) as cri:
            evictor = Evictor(found.config, cri, SystemClock(), found.workers, reclaim, told, look)
            assert await evictor.look(None) is None
            assert evictor.pressure.conditions == {"DiskPressure"}
            free[0] = 5 << 30
            evictor = Evictor(found.config, cri, SystemClock(), found.workers, nothing, told, look)
            assert await evictor.look(None) is not None


async def test_a_pod_runs_by_its_class_once_that_is_known(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE})
    async with world(tmp_path, runtime) as found:
        body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "special"}, "handler": "h"}
        await found.client.create(RUNTIME_CLASSES, body)
        await found.pod("p", runtimeClassName="special")
        await found.until("p", phase_is("Running"))
        assert runtime.calls == ["run by h"]


async def test_an_evicted_pod_fails_and_says_why(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE}, memory={"c": 5 << 20})
    async with world(tmp_path, runtime) as found:
        await found.pod("p")
        await found.until("p", phase_is("Running"))
        async with Cri(found.config.runtime_endpoint) as cri:
            look = {Signal.MEMORY: Observation(50 << 20, 1 << 30)}
            evictor = Evictor(found.config, cri, SystemClock(), found.workers, nothing, told, lambda root, images: look)
            assert await evictor.look(None) is not None
        assert evictor.pressure.conditions == {"MemoryPressure"}
        pod = await found.until("p", phase_is("Failed"))
        assert pod["status"]["reason"] == "Evicted"
        assert pod["status"]["message"] == (
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
            "Container c was using 5Mi, request is 0, has larger consumption of memory. "
        )
        assert _conditions(pod)["DisruptionTarget"]["reason"] == "TerminationByKubelet"
        assert (await found.until_told("Evicted"))["type"] == "Warning"


async def test_a_log_that_has_grown_is_rotated_and_stays_where_it_is_if_that_fails(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE})
    async with world(tmp_path, runtime) as found:
        await found.pod("p")
        pod = await found.until("p", phase_is("Running"))
        (container,) = runtime.named("c")
        log = Path(container.log_path)
        log.write_bytes(b"0123456789")
        config = replace(found.config, container_log_max_size=10)
        async with Cri(found.config.runtime_endpoint) as cri:
            rotator = LogRotator(config, cri, SystemClock(), lambda: [pod])
            assert await rotator.grown() == [pod]
            await rotator.look(pod)
            assert await rotator.grown() == []
            older = sorted(log.parent.glob("0.log.*"))
            assert [each.read_bytes() for each in older] == [b"0123456789"] and log.read_bytes() == b""
            await rotator.look(pod)
            assert sorted(log.parent.glob("0.log.*")) == older
            runtime.reopen_error = "no"
            log.write_bytes(b"again 0123456789")
            await rotator.look(pod)
            assert log.read_bytes() == b"again 0123456789"


async def test_the_node_tells_how_it_is(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime(images={IMAGE})) as found:
        event = await found.until_told("NodeReady")
        assert (event["message"], event["metadata"]["namespace"]) == ("Node n status is now: NodeReady", "default")
        assert event["involvedObject"] | {} == {"kind": "Node", "name": "n", "uid": "n", "apiVersion": "v1"}
        assert found.reasons("n") == [
            "Starting",
            "NodeAllocatableEnforced",
            "NodeHasSufficientMemory",
            "NodeHasNoDiskPressure",
            "NodeHasSufficientPID",
            "NodeReady",
        ]


def _requests(pod: Object) -> Object:
    (status,) = pod["status"].get("containerStatuses") or [{}]
    return dict((status.get("resources") or {}).get("requests") or {})


def _conditions(pod: Object) -> dict[str, Object]:
    return {c["type"]: c for c in pod["status"].get("conditions") or ()}
