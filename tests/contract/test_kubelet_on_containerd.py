"""The kubelet over another runtime: Debian's containerd, which tells neither events nor a sandbox's containers."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from kubelet.cri import Cri
from machinery.api.resource import Object
from machinery.api.resources import PODS
from tests.contract.cri_node import BUSYBOX
from tests.contract.test_streams_on_containerd import running
from tests.kubelet_world import DEADLINE, World, phase_is, world_on

pytestmark = pytest.mark.skipif(not BUSYBOX.exists(), reason="no busybox at hand")
IMAGE = "sleeper:latest"


async def pod(found: World, name: str, script: str, container: Object | None = None, **spec: object) -> None:
    """On the host's network: this containerd has no other."""
    shell = {"image": IMAGE, "command": ["sh", "-c", script], **(container or {})}
    await found.pod(name, shell, hostNetwork=True, **spec)


def restarted(pod: Object) -> bool:
    (status,) = pod["status"].get("containerStatuses") or [{}]
    return bool(status.get("restartCount") == 1 and "running" in status["state"])


async def test_pods_live_and_end(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as short, running(Path(short)) as endpoint:
        async with world_on(tmp_path, endpoint) as found, Cri(endpoint) as cri:
            await pod(found, "ends", "echo bye > /dev/termination-log; exit 3", restartPolicy="Never")
            ended = await found.until("ends", phase_is("Failed"))
            state = ended["status"]["containerStatuses"][0]["state"]["terminated"]
            assert (state["exitCode"], state["reason"], state["message"]) == (3, "Error", "bye\n")

            probe = {"exec": {"command": ["cat", "/ready"]}, "periodSeconds": 1}
            container = {"readinessProbe": probe, "resources": {"requests": {"cpu": "10m"}}}
            await pod(found, "lives", "echo > /ready; sleep 1000000", container)
            lives = await found.until("lives", lambda pod: _conditions(pod).get("Ready") == "True")
            assert lives["status"]["containerStatuses"][0]["containerID"].startswith("containerd://")
            wanted = {"containers": [{"name": "c", "image": IMAGE, "resources": {"requests": {"cpu": "20m"}}}]}
            await found.patch("lives", {"spec": wanted}, "resize")
            await found.until("lives", lambda pod: _requests(pod) == {"cpu": "20m"})

            await pod(found, "again", "sleep 1; exit 1")
            await found.until("again", restarted)

            for name in ("ends", "lives", "again"):
                await found.client.delete(PODS, name, "default")
            for name in ("ends", "lives", "again"):
                if found.server.cache.get(PODS, "default", name) is not None:
                    await found.until_gone(name)
            async with asyncio.timeout(DEADLINE):
                while await cri.pod_uids():
                    await asyncio.sleep(0)


def _conditions(pod: Object) -> dict[str, str]:
    return {c["type"]: c["status"] for c in pod["status"].get("conditions") or ()}


def _requests(pod: Object) -> Object:
    (status,) = pod["status"].get("containerStatuses") or [{}]
    return dict((status.get("resources") or {}).get("requests") or {})
