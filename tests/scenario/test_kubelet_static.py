"""Static pods: run from the node's folder, shown by mirrors that come back, ended when the manifest goes."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

from machinery.api.resources import PODS
from tests.fake_runtime import FakeRuntime, Outcome
from tests.kubelet_world import DEADLINE, IMAGE, World, kubelet, phase_is, world


def write(found: World, container: str, **spec: str) -> None:
    """As an editor saves: a new file takes the old one's place."""
    assert found.config.manifests_dir is not None
    found.config.manifests_dir.mkdir(exist_ok=True)
    new = found.config.manifests_dir / ".new"
    containers = [{"name": container, "image": IMAGE, "imagePullPolicy": "IfNotPresent"}]
    body = {"terminationGracePeriodSeconds": 1, "containers": containers, **spec}
    new.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": body}))
    new.rename(found.config.manifests_dir / "web.yaml")


async def until_no_container_is_left(runtime: FakeRuntime) -> None:
    async with asyncio.timeout(DEADLINE):
        while runtime.containers:
            await asyncio.sleep(0)


async def test_a_manifest_runs_and_its_mirror_tells_how(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE})
    async with world(tmp_path, runtime, manifests_dir=tmp_path / "manifests") as found:
        write(found, "c")
        pod = await found.until("web-n", phase_is("Running"))
        assert pod["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
        assert pod["metadata"]["ownerReferences"][0]["kind"] == "Node"
        assert pod["status"]["containerStatuses"][0]["ready"]
        (container,) = runtime.named("c")

        await found.client.delete(PODS, "web-n", "default")
        again = await found.until("web-n", lambda new: new["metadata"]["uid"] != pod["metadata"]["uid"])
        assert await found.until("web-n", phase_is("Running")) and again["metadata"]["name"] == "web-n"
        assert [status.id for status in runtime.named("c")] == [container.id]

        write(found, "other")
        changed = await found.until("web-n", lambda new: new["spec"]["containers"][0]["name"] == "other")
        assert changed["metadata"]["uid"] != again["metadata"]["uid"]
        await found.until("web-n", phase_is("Running"))
        assert not runtime.named("c")

        assert found.config.manifests_dir is not None
        shutil.rmtree(found.config.manifests_dir)
        await until_no_container_is_left(runtime)
        assert found.server.cache.get(PODS, "default", "web-n") is None

        async with asyncio.timeout(DEADLINE):
            while not found.config.manifests_dir.is_dir():
                await asyncio.sleep(0)
        write(found, "anew")
        await found.until("web-n", phase_is("Running"))


async def test_a_new_kubelet_goes_on_with_the_static_pods_that_run(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE})
    async with world(tmp_path, runtime, manifests_dir=tmp_path / "manifests", runs=False) as found:
        write(found, "c")
        async with kubelet(found):
            await found.until("web-n", phase_is("Running"))
        (container,) = runtime.named("c")
        async with kubelet(found):
            await found.pod("p")
            await found.until("p", phase_is("Running"))
        assert container.id in [status.id for status in runtime.named("c")]


async def test_a_new_mirror_of_a_pod_that_has_ended_tells_how(tmp_path: Path) -> None:
    runtime = FakeRuntime(images={IMAGE}, runs=lambda config: Outcome(exit_code=0))
    async with world(tmp_path, runtime, manifests_dir=tmp_path / "manifests") as found:
        write(found, "c", restartPolicy="Never")
        first = await found.until("web-n", phase_is("Succeeded"))
        await found.client.delete(PODS, "web-n", "default", grace_period_seconds=0)
        again = await found.until("web-n", lambda pod: pod["metadata"]["uid"] != first["metadata"]["uid"])
        if again["status"].get("phase") != "Succeeded":
            again = await found.until("web-n", phase_is("Succeeded"))
        assert again["status"]["containerStatuses"] == first["status"]["containerStatuses"]
