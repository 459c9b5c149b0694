"""What statuses say beside CRI's own fields where they are asked to be verbose, as `crictl inspect` prints it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cri_node import Node, make, node_mode

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")
WAIT_FOREVER = "while :; do sleep 1000; done"


async def container_info(node: Node, container: str) -> Any:
    request = make("ContainerStatusRequest", container_id=container, verbose=True)
    return json.loads((await node.runtime.ContainerStatus(request)).info["info"])


async def sandbox_info(node: Node, sandbox: str) -> Any:
    request = make("PodSandboxStatusRequest", pod_sandbox_id=sandbox, verbose=True)
    return json.loads((await node.runtime.PodSandboxStatus(request)).info["info"])


async def test_a_container_tells_its_process_its_specification_and_what_was_asked_for(node: Node) -> None:
    sandbox = await node.sandbox("told")
    container = await node.run(sandbox, WAIT_FOREVER, envs=[make("KeyValue", key="A", value=b"b")])
    info = await container_info(node, container)
    assert container in Path(f"/proc/{info['pid']}/cgroup").read_text()
    assert info["sandboxID"] == sandbox
    assert "A=b" in info["runtimeSpec"]["process"]["env"]
    assert info["config"]["metadata"] == {"name": "c"}
    assert info["config"]["envs"] == [{"key": "A", "value": "Yg=="}]
    await node.kill()
    await node.start()
    assert await container_info(node, container) == info
    await node.stop(container)
    assert (await container_info(node, container))["pid"] == 0
    silent = await node.runtime.ContainerStatus(make("ContainerStatusRequest", container_id=container))
    assert dict(silent.info) == {}


async def test_a_sandbox_tells_its_namespaces_and_addresses(node: Node) -> None:
    sandbox = await node.sandbox("told")
    info = await sandbox_info(node, sandbox)
    (network,) = [each["path"] for each in info["runtimeSpec"]["linux"]["namespaces"] if each["type"] == "network"]
    container = await node.run(sandbox, WAIT_FOREVER)
    process = (await container_info(node, container))["pid"]
    assert os.stat(network).st_ino == os.stat(f"/proc/{process}/ns/net").st_ino
    assert info["cniResult"]["Interfaces"]["eth0"]["IPConfigs"] == [{"IP": await node.address(sandbox)}]
    assert info["config"]["metadata"] == {"name": "told", "uid": "uid-told", "namespace": "default"}
    assert (info["processStatus"], info["netNamespaceClosed"]) == ("running", False)
    await node.runtime.StopPodSandbox(make("StopPodSandboxRequest", pod_sandbox_id=sandbox))
    info = await sandbox_info(node, sandbox)
    assert (info["processStatus"], info["netNamespaceClosed"]) == ("deleted", True)


async def test_a_sandbox_that_shares_its_processes_tells_the_first(node: Node) -> None:
    options = make("NamespaceOption", pid=node_mode("POD"))
    security = make("LinuxSandboxSecurityContext", namespace_options=options)
    sandbox = await node.sandbox("shared", node.sandbox_config("shared", security_context=security))
    info = await sandbox_info(node, sandbox)
    (file,) = [each["path"] for each in info["runtimeSpec"]["linux"]["namespaces"] if each["type"] == "pid"]
    assert os.stat(file).st_ino == os.stat(f"/proc/{info['pid']}/ns/pid").st_ino


async def test_an_image_and_the_runtime_tell_their_configuration(node: Node) -> None:
    request = make("ImageStatusRequest", image=make("ImageSpec", image="busybox:latest"), verbose=True)
    info = json.loads((await node.images.ImageStatus(request)).info["info"])
    assert info["imageSpec"]["config"]["WorkingDir"] == "/srv"
    assert info["chainID"] == info["imageSpec"]["rootfs"]["diff_ids"][0]
    status = await node.runtime.Status(make("StatusRequest", verbose=True))
    config = json.loads(status.info["config"])
    assert (config["rootDir"], config["stateDir"]) == (str(node.config.root), str(node.config.run))
    assert dict((await node.runtime.Status(make("StatusRequest"))).info) == {}
