"""Pods on the real API server and kubelet; the runtime is the double. Compared is what the API tells of their life."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from kubelet.config import KubeletConfig
from machinery.api.resource import Object
from machinery.api.resources import CONFIG_MAPS, NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from tests.contract.apiserver_running import running
from tests.fake_runtime import FakeRuntime, Outcome, serving
from tests.kubelet_world import DEADLINE, IMAGE, World, cleaned, config_map, kubelet, phase_is, waits_for, world


@pytest.mark.parametrize("tells_containers", [False, True])
async def test_a_pod_runs_is_told_ready_and_leaves_nothing_when_deleted(
    tmp_path: Path,
    tells_containers: bool,  # noqa: FBT001
) -> None:
    runtime = FakeRuntime(registry={IMAGE}, tells_containers=tells_containers)
    async with world(tmp_path, runtime) as found:
        await found.pod("p")
        pod = await found.until("p", phase_is("Running"))
        status = pod["status"]
        assert {c["type"]: c["status"] for c in status["conditions"]} == {
            "PodReadyToStartContainers": "True",
            "Initialized": "True",
            "Ready": "True",
            "ContainersReady": "True",
            "PodScheduled": "True",
        }
        assert status["podIP"] == "10.0.0.1"
        (container,) = status["containerStatuses"]
        assert container["ready"] and container["started"] and container["restartCount"] == 0
        assert container["image"] == f"docker.io/library/{IMAGE}"
        assert container["containerID"].startswith("fake://")
        await found.client.delete(PODS, "p", "default")
        await found.until_gone("p")
        assert not runtime.containers and not runtime.sandboxes
        assert not list(found.config.pods_dir.iterdir()) and not list(found.config.pod_logs_dir.iterdir())
        assert found.reasons("p") == ["Pulling", "Pulled", "Created", "Started", "Killing"]


async def test_the_service_account_s_files_are_mounted(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE})
    async with world(tmp_path, runtime) as found:
        await found.pod("p")
        await found.until("p", phase_is("Running"))
        (container,) = runtime.named("c")
        mounts = {m.container_path: Path(m.host_path) for m in runtime.configs[container.id].mounts}
        account = mounts["/var/run/secrets/kubernetes.io/serviceaccount"]
        assert (account / "ca.crt").read_text() == "CA"
        assert (account / "namespace").read_text() == "default"
        assert (account / "token").read_text().count(".") == 2
        assert "10.0.0.1\tp" in mounts["/etc/hosts"].read_text()


async def test_a_pod_that_never_restarts_succeeds_and_keeps_its_message(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE})
    async with world(tmp_path, runtime) as found:
        await found.pod("p", restartPolicy="Never")
        await found.until("p", phase_is("Running"))
        (container,) = runtime.named("c")
        log = next(m for m in runtime.configs[container.id].mounts if m.container_path == "/dev/termination-log")
        Path(log.host_path).write_text("bye\n")
        runtime.end(container.id, 0)
        pod = await found.until("p", phase_is("Succeeded"))
        terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        assert (terminated["reason"], terminated["exitCode"], terminated["message"]) == ("Completed", 0, "bye\n")
        conditions = {c["type"]: (c["status"], c.get("reason")) for c in pod["status"]["conditions"]}
        assert conditions["PodReadyToStartContainers"] == ("False", None)
        assert conditions["Ready"] == ("False", "PodCompleted")


async def test_a_crash_restarts_once_at_once_and_then_backs_off(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE}, runs=lambda config: Outcome(exit_code=3))
    async with world(tmp_path, runtime) as found:
        await found.pod("p")
        pod = await found.until("p", waits_for("CrashLoopBackOff"))
        (status,) = pod["status"]["containerStatuses"]
        assert status["restartCount"] == 1
        assert status["lastState"]["terminated"]["exitCode"] == 3
        assert status["state"]["waiting"]["message"].startswith(
            "back-off 10s restarting failed container=c pod=p_default("
        )
        assert pod["status"]["phase"] == "Running"
        assert "BackOff" in found.reasons("p")


async def test_a_missing_image_is_told_in_both_ways(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime()) as found:
        await found.pod("p")
        pod = await found.until("p", waits_for("ErrImagePull"))
        assert pod["status"]["phase"] == "Pending"
        event = await found.until_told("BackOff")
        assert event["message"] == f'Back-off pulling image "{IMAGE}"'


async def test_an_image_that_is_there_is_named_where_the_registry_is_asked_in_vain(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime(images={"app:latest", "app:1"})) as found:
        for name, image, why in (
            ("one", "app:latest", "the tag latest means"),
            ("two", "app:1", "but imagePullPolicy:"),
        ):
            container = {"name": "c", "image": image, "imagePullPolicy": "Always"}
            await found.pod(name, containers=[container])
            pod = await found.until(name, waits_for("ErrImagePull"))
            message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
            assert "an image of this name is on the node" in message and why in message
            assert message.endswith("with imagePullPolicy: IfNotPresent it is used")
        await found.pod("three", containers=[{"name": "c", "image": "app:latest", "imagePullPolicy": "IfNotPresent"}])
        await found.until("three", phase_is("Running"))


async def test_a_command_that_can_t_start_is_a_run_container_error(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE}, runs=lambda config: Outcome(start_error="no such file"))
    async with world(tmp_path, runtime) as found:
        await found.pod("p")
        pod = await found.until("p", waits_for("RunContainerError"))
        (status,) = pod["status"]["containerStatuses"]
        assert status["state"]["waiting"]["message"] == "no such file"
        assert status["lastState"]["terminated"]["reason"] == "StartError"


async def test_a_volume_s_secret_may_come_later(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime(images={IMAGE})) as found:
        volumes = [{"name": "v", "secret": {"secretName": "later"}}]
        await found.pod("p", {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=volumes)
        event = await found.until_told("FailedMount")
        assert event["message"] == 'MountVolume.SetUp failed for volume "v" : secret "later" not found'
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "later"}, "stringData": {"a": "b"}}
        await found.client.create(SECRETS, secret, "default")
        await found.until("p", phase_is("Running"))


async def test_init_containers_run_in_order_before_the_main_one(tmp_path: Path) -> None:
    def runs(config: Any) -> Outcome:
        return Outcome(exit_code=0 if config.metadata.name in ("one", "two") else None)

    runtime = FakeRuntime(images={IMAGE}, runs=runs)
    plain = {"image": IMAGE, "imagePullPolicy": "IfNotPresent"}
    async with world(tmp_path, runtime) as found:
        init = [
            {"name": "one", **plain},
            {"name": "side", "restartPolicy": "Always", **plain},
            {"name": "two", **plain},
        ]
        await found.pod("p", initContainers=init)
        pod = await found.until("p", phase_is("Running"))
        started = sorted(runtime.containers.values(), key=lambda status: status.started_at)
        assert [status.metadata.name for status in started] == ["one", "side", "two", "c"]
        assert all(status["ready"] for status in pod["status"]["initContainerStatuses"])
        await found.client.delete(PODS, "p", "default")
        await found.until_gone("p")
        assert [call.split()[1] for call in runtime.calls] == ["c", "side"]


async def test_readiness_follows_the_probe_and_a_failed_liveness_restarts(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE}, exec_code=1)
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with world(tmp_path, runtime) as found:
        await found.pod("ready", {"readinessProbe": probe})
        pod = await found.until("ready", phase_is("Running"))
        assert not pod["status"]["containerStatuses"][0]["ready"]
        event = await found.until_told("Unhealthy")
        assert event["message"] == "Readiness probe failed: said\n"
        runtime.exec_code = 0
        await found.until("ready", lambda pod: bool(pod["status"]["containerStatuses"][0]["ready"]))
        runtime.exec_code = 1
        await found.pod("live", {"livenessProbe": probe})
        await found.until(
            "live", lambda pod: (pod["status"].get("containerStatuses") or [{}])[0].get("restartCount") == 1
        )
        event = await found.until_told("Killing")
        assert event["message"] == "Container c failed liveness probe, will be restarted"


async def test_a_probe_that_cannot_be_asked_says_nothing_of_the_container(tmp_path: Path) -> None:
    probe = {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 1}
    async with world(tmp_path, FakeRuntime(images={IMAGE})) as found:
        await found.pod("p", {"livenessProbe": probe})
        event = await found.until_told("Unhealthy")
        said = 'Liveness probe errored and resulted in unknown state: strconv.Atoi: parsing "web": invalid syntax'
        assert event["message"] == said
        pod = await found.until("p", phase_is("Running"))
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_a_failed_hook_is_told_by_the_status_alone(tmp_path: Path) -> None:
    lifecycle = {"postStart": {"exec": {"command": ["a", "b"]}}, "preStop": {"exec": {"command": ["c"]}}}
    async with world(tmp_path, FakeRuntime(images={IMAGE}, exec_code=3)) as found:
        await found.pod("p", {"lifecycle": lifecycle})
        for reason, message in (
            ("FailedPostStartHook", "PostStartHook failed"),
            ("Killing", "FailedPostStartHook"),
            ("FailedPreStopHook", "PreStopHook failed"),
        ):
            assert (await found.until_told(reason))["message"] == message
        pod = await found.until("p", lambda pod: "PostStartHookError" in str(pod["status"].get("containerStatuses")))
        said = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        assert said == (
            f'Exec lifecycle hook ([a b]) for Container "c" in Pod "p_default({pod["metadata"]["uid"]})" failed - '
            "error: command 'a b' exited with 3: , message: \"said\\n\""
        )


async def test_pull_secrets_that_lack_are_told(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime(images={IMAGE})) as found:
        await found.pod("p", imagePullSecrets=[{"name": "a"}, {"name": "b"}])
        event = await found.until_told("FailedToRetrieveImagePullSecret")
        said = "Unable to retrieve some image pull secrets (a, b); attempting to pull the image may not succeed."
        assert event["message"] == said
        await found.until("p", phase_is("Running"))


def is_ready(pod: Object) -> bool:
    return bool((pod["status"].get("containerStatuses") or [{}])[0].get("ready"))


async def test_a_failed_probe_grants_its_own_grace(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE}, exec_code=1)
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with world(tmp_path, runtime) as found:
        liveness = {**probe, "terminationGracePeriodSeconds": 7}
        await found.pod("p", {"livenessProbe": liveness}, terminationGracePeriodSeconds=100)
        await found.until_told("Killing")
        await found.until("p", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)
        assert runtime.calls[0] == "stop c 7"


async def test_a_new_kubelet_finds_containers_as_ready_as_they_were(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE})
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 100}
    async with world(tmp_path, runtime, runs=False) as found:
        async with kubelet(found):
            await found.pod("p", {"readinessProbe": probe, "startupProbe": probe})
            await found.until("p", is_ready)
        runtime.exec_code = 1
        async with kubelet(found):
            await found.until_told("Unhealthy")
        pod = found.server.cache.get(PODS, "default", "p")
        assert pod is not None and pod["status"]["containerStatuses"][0]["ready"]
        assert pod["status"]["containerStatuses"][0]["started"]


async def test_a_grpc_probe_asks_for_the_service_s_health(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def check(request: bytes, context: Any) -> bytes:
        asked.append(request)
        return b"\x08\x01" if request == b"\x0a\x01s" else b"\x08\x02"

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with world(tmp_path, FakeRuntime(images={IMAGE}, address="127.0.0.1")) as found:
            probe = {"grpc": {"port": port, "service": "s"}, "periodSeconds": 1}
            await found.pod("well", {"readinessProbe": probe})
            await found.until("well", is_ready)
            assert b"\x0a\x01s" in asked
            await found.pod("ill", {"readinessProbe": {"grpc": {"port": port}, "periodSeconds": 1}})
            event = await found.until_told("Unhealthy")
            assert event["message"].endswith('service unhealthy (responded with "NOT_SERVING")')
    finally:
        await server.stop(0)


async def test_a_new_kubelet_adopts_what_runs_and_ends_what_the_api_forgot(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE})
    with tempfile.TemporaryDirectory() as short:
        async with (
            cleaned(tmp_path) as cgroup_root,
            running(tmp_path) as server,
            serving(runtime, Path(short) / "cri.sock") as endpoint,
        ):
            config = KubeletConfig(
                "n", lambda: ("192.0.2.1",), tmp_path / "kubelet", tmp_path / "logs", endpoint, cgroup_root=cgroup_root
            )
            found = World(server, server.client("system:admin", ("system:masters",)), runtime, config)
            account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}}
            await found.client.create(SERVICE_ACCOUNTS, account, "default")
            await found.client.create(CONFIG_MAPS, config_map("kube-root-ca.crt", {"ca.crt": "CA"}), "default")
            async with kubelet(found):
                for name in ("stays", "goes"):
                    await found.pod(name)
                    await found.until(name, phase_is("Running"))
            await found.client.delete(PODS, "goes", "default", grace_period_seconds=0)
            before = {status.id for status in runtime.containers.values()}
            async with kubelet(found):
                await found.pod("new")
                await found.until("new", phase_is("Running"))
                kept = {s.id for s in runtime.containers.values() if s.labels["io.kubernetes.pod.name"] == "stays"}
                assert kept <= before and len(kept) == 1
                async with asyncio.timeout(DEADLINE):
                    while any(s.labels["io.kubernetes.pod.name"] == "goes" for s in runtime.containers.values()):
                        await asyncio.sleep(0)
            stays = server.cache.get(PODS, "default", "stays")
            assert stays is not None and stays["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_the_node_is_registered_with_what_the_machine_has(tmp_path: Path) -> None:
    async with world(tmp_path, FakeRuntime(images={IMAGE})) as found:
        await found.pod("p")
        await found.until("p", phase_is("Running"))
        node = await found.client.get(NODES, "n")
        assert node["status"]["nodeInfo"]["containerRuntimeVersion"] == "fake://1"
        assert node["status"]["images"] == [{"names": [IMAGE], "sizeBytes": 7}]
        assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
