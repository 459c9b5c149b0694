"""What sandboxes have of a network, whichever it is: the built-in bridge, or Debian's CNI plugins."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.contract.cri_node import NOTHING, Node, make, serving, state

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")
PLUGINS = Path("/usr/lib/cni")
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


@dataclass(frozen=True)
class Ranged:
    """A name that no other network on the machine has, and addresses that are free."""

    name: str
    subnet: str
    routes: tuple[str, ...] = ("0.0.0.0/0",)

    def ptp(self) -> dict[str, Any]:
        return {"type": "ptp", "ipMasq": True, "ipam": self._ipam()}

    def bridge(self) -> dict[str, Any]:
        name = self.name[:15]
        return {"type": "bridge", "bridge": name, "isGateway": True, "ipMasq": True, "ipam": self._ipam()}

    def _ipam(self) -> dict[str, Any]:
        routes = [{"dst": route} for route in self.routes]
        return {"type": "host-local", "ranges": [[{"subnet": self.subnet}]], "routes": routes}


Plugins = Callable[[Ranged], list[dict[str, Any]]]
NETWORKS: dict[str, Plugins | None] = {
    "built-in": None,
    "bridge": lambda ranged: [ranged.bridge(), PORTMAP],
    "ptp": lambda ranged: [ranged.ptp(), PORTMAP],
    "ptp-without-ports": lambda ranged: [ranged.ptp()],
}


def write(folder: Path, ranged: Ranged, plugins: Plugins) -> Path:
    if not PLUGINS.is_dir():
        pytest.fail("CNI plugins are missing: apt-get install containernetworking-plugins")
    folder.mkdir(exist_ok=True)
    told = {"cniVersion": "1.0.0", "name": ranged.name, "plugins": plugins(ranged)}
    (folder / "10-test.conflist").write_text(json.dumps(told))
    return folder / "10-test.conflist"


def fresh() -> Ranged:
    number = uuid.uuid4().int
    return Ranged(f"cni{number % 10**8}", f"10.{230 + number % 20}.{number // 100 % 256}.0/24")


def forget(ranged: Ranged) -> None:
    """What the plugins leave to whoever removes the network."""
    shutil.rmtree(Path("/var/lib/cni/networks") / ranged.name, ignore_errors=True)
    subprocess.run(["ip", "link", "delete", ranged.name[:15]], capture_output=True, check=False)
    chains = set(re.findall(r"CNI-[0-9a-f]{24}|CNI-DN-[0-9a-f]+", "\n".join(rules(ranged))))
    for line in rules(ranged):
        subprocess.run(["iptables", "-t", "nat", *shlex.split(line.replace("-A", "-D", 1))], check=True)
    for chain in chains:
        subprocess.run(["iptables", "-t", "nat", "-X", chain], check=True)


@pytest.fixture(params=NETWORKS)
async def node(request: pytest.FixtureRequest, tmp_path: Path, archive: Path) -> AsyncIterator[Node]:
    ranged, plugins = fresh(), NETWORKS[request.param]
    if plugins is not None:
        write(tmp_path / "cni", ranged, plugins)
    try:
        async with serving(tmp_path, archive) as found:
            yield found
        assert not list((Path("/var/lib/cni/networks") / ranged.name).glob("*.*.*.*"))
    finally:
        await asyncio.to_thread(forget, ranged)


def rules(ranged: Ranged) -> list[str]:
    """Those that plugins made for the network's sandboxes, by iptables."""
    listed = subprocess.run(["iptables-save", "-t", "nat"], capture_output=True, text=True, check=False).stdout
    return [line for line in listed.splitlines() if ranged.name in line]


async def test_sandboxes_reach_each_other_are_reached_and_are_gone(node: Node) -> None:
    port = 20000 + int(node.config.instance, 16) % 10000
    config = node.sandbox_config("one")
    config.port_mappings.append(make("PortMapping", container_port=80, host_port=port))
    first, second = await asyncio.gather(node.sandbox("one", config), node.sandbox("two"))
    one, two = await asyncio.gather(node.address(first), node.address(second))
    assert one != two
    await node.run(first, "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www")
    client = await node.run(second, "exec sleep 100000")
    script = f"until wget -qO- http://{one}/; do sleep 0.1; done"
    assert (await node.execute(client, script, 60)).stdout == b"hello\n"
    assert await fetched(one, 80) == b"hello\n"
    routes = (await node.execute(client, "ip route")).stdout.decode()
    host = routes.partition("default via ")[2].split()[0]
    assert (await node.execute(client, f"ping -c1 -W5 {host}")).exit_code == 0
    assert await fetched(host, port) == b"hello\n"
    assert (await node.execute(client, f"wget -qO- http://{host}:{port}/")).stdout == b"hello\n"
    stats = (await node.runtime.PodSandboxStats(make("PodSandboxStatsRequest", pod_sandbox_id=second))).stats
    assert stats.linux.network.default_interface.rx_bytes.value > 0
    await node.kill()
    await node.start()
    assert (await node.address(first), await node.address(second)) == (one, two)
    assert await fetched(one, 80) == await fetched(host, port) == b"hello\n"
    await asyncio.gather(node.remove_sandbox(first), node.remove_sandbox(second))
    assert node.leftovers() == NOTHING
    assert one not in (await asyncio.to_thread(subprocess.check_output, ["iptables-save"])).decode()


async def test_the_ports_of_sandboxes_that_are_made_at_once_are_all_there(node: Node) -> None:
    first = 20000 + int(node.config.instance, 16) % 10000
    ports = range(first, first + 6)
    for _ in range(2):
        configs = [node.sandbox_config(f"p{port}") for port in ports]
        for config, port in zip(configs, ports, strict=True):
            config.port_mappings.append(make("PortMapping", container_port=80, host_port=port))
        made = await asyncio.gather(*(node.sandbox(config.metadata.name, config) for config in configs))
        listed = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
        assert [port for port in ports if f"dport {port} " not in listed] == []
        await asyncio.gather(*map(node.remove_sandbox, made))
    assert node.leftovers() == NOTHING


async def test_a_sandbox_that_lost_its_network_while_nobody_watched_is_told_as_gone(node: Node) -> None:
    sandbox = await node.sandbox("lost")
    container = await node.run(sandbox, "exec sleep 100000")
    pid = int((node.config.bundles / container / "pid").read_text())
    await node.kill()
    subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "link", "delete", "eth0"], check=True)
    await node.start()
    (listed,) = (await node.runtime.ListPodSandbox(make("ListPodSandboxRequest"))).items
    assert (listed.id, listed.state) == (sandbox, 1)
    await node.remove_sandbox(sandbox)
    assert node.leftovers() == NOTHING


async def fetched(address: str, port: int) -> bytes:
    reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 60)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    said = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return said.partition(b"\r\n\r\n")[2]


async def test_a_change_of_the_network_restarts_what_was_in_the_old_one(tmp_path: Path, archive: Path) -> None:
    ranged = fresh()
    try:
        async with serving(tmp_path, archive) as node:
            old = await node.sandbox("old")
            container = await node.run(old, "exec sleep 100000")
            on_host = await node.sandbox("host", host_networked(node))
            await node.kill()
            path = write(tmp_path / "cni", ranged, lambda ranged: [ranged.ptp()])
            await node.start()
            listed = (await node.runtime.ListPodSandbox(make("ListPodSandboxRequest"))).items
            assert {each.id: each.state for each in listed} == {old: 1, on_host: 0}
            await node.stop(container)
            await node.remove_sandbox(old)
            new = await node.sandbox("new")
            assert (await node.address(new)).startswith(ranged.subnet.rpartition(".")[0])
            await node.kill()
            path.unlink()
            await node.start()
            listed = (await node.runtime.ListPodSandbox(make("ListPodSandboxRequest"))).items
            assert {each.id: each.state for each in listed} == {new: 1, on_host: 0}
            await asyncio.gather(node.remove_sandbox(new), node.remove_sandbox(on_host))
            assert node.leftovers() == NOTHING
    finally:
        await asyncio.to_thread(forget, ranged)


def host_networked(node: Node) -> Any:
    options = make("NamespaceOption", network=2)
    return node.sandbox_config("host", security_context=make("LinuxSandboxSecurityContext", namespace_options=options))


async def test_what_is_wrong_with_the_users_network_is_told(tmp_path: Path, archive: Path) -> None:
    ranged = fresh()
    path = write(tmp_path / "cni", ranged, lambda ranged: [{**ranged.ptp(), "type": "ptq"}])
    try:
        async with serving(tmp_path, archive) as node:
            assert 'failed to find plugin "ptq" in path' in await refused(node, "missing")
            path.write_text("{")
            assert f"error loading CNI config file {path}" in await refused(node, "broken")
            full = Ranged(ranged.name, ranged.subnet.replace("/24", "/30"))
            write(tmp_path / "cni", full, lambda ranged: [ranged.ptp()])
            assert await trouble(node) == ""
            only = await node.sandbox("only")
            why = await refused(node, "full", ready=True)
            assert 'failed to setup network for sandbox "' in why
            assert 'plugin type="ptp" failed (add): failed to allocate for range 0: no IP addresses available' in why
            (listed,) = (await node.runtime.ListPodSandbox(make("ListPodSandboxRequest"))).items
            assert listed.id == only
            await node.remove_sandbox(only)
            assert node.leftovers() == NOTHING
    finally:
        await asyncio.to_thread(forget, ranged)


async def trouble(node: Node) -> str:
    conditions = (await node.runtime.Status(make("StatusRequest"))).status.conditions
    (network,) = [each for each in conditions if each.type == "NetworkReady"]
    assert network.status != bool(network.message)
    return str(network.message)


async def refused(node: Node, name: str, *, ready: bool = False) -> str:
    """Why no sandbox can be made, also told by the status unless it is ready for others; those without network can."""
    assert (await trouble(node) == "") == ready
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await node.sandbox(name)
    host = await node.sandbox("host", host_networked(node))
    container = await node.create(host, "true")
    assert (await node.status(container)).state == state("CREATED")
    await node.remove_sandbox(host)
    return failed.value.details() or ""
