"""Sandboxes with an address of each family, whichever stands first, over CRI and with real packets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from machinery.ip_families import FAMILIES, IPV6, Family, families_of, host_port
from tests.contract.cri_node import NOTHING, Node, make, serving

WAIT_FOREVER = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
SERVE = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"


@pytest.fixture(params=[FAMILIES, FAMILIES[::-1], (IPV6,)], ids=["IPv4 first", "IPv6 first", "IPv6 alone"])
async def families(request: pytest.FixtureRequest) -> tuple[Family, ...]:
    found: tuple[Family, ...] = request.param
    return found


@pytest.fixture
async def node(families: tuple[Family, ...], tmp_path: Path, archive: Path) -> AsyncIterator[Node]:
    async with serving(tmp_path, archive, families) as made:
        yield made


async def test_sandboxes_reach_each_other_by_each_of_their_addresses(node: Node, families: tuple[Family, ...]) -> None:
    first, second = await asyncio.gather(node.sandbox("one"), node.sandbox("two"))
    addresses = await node.addresses(first)
    assert families_of(addresses) == families
    await node.run(first, SERVE)
    client = await node.run(second, WAIT_FOREVER)
    for address in addresses:
        script = f"until wget -qO- http://{host_port(address, 80)}/; do sleep 0.1; done"
        assert (await node.execute(client, script)).stdout == b"hello\n"
    for gateway in node.config.gateways.values():
        assert (await node.execute(client, f"ping -c1 -W9 {gateway}")).exit_code == 0
    await node.kill()
    await node.start()
    assert await node.addresses(first) == addresses
    await asyncio.gather(node.remove_sandbox(first), node.remove_sandbox(second))
    assert node.leftovers() == NOTHING


async def test_an_address_of_ipv6_is_there_at_once(node: Node) -> None:
    sandbox = await node.sandbox("one")
    said = await node.execute(await node.run(sandbox, WAIT_FOREVER), "ip -o -6 addr show dev eth0 scope global")
    # One that the kernel asks neighbours about first can't be used until nobody has answered for a second.
    assert b"/128" in said.stdout and b"tentative" not in said.stdout
    await node.remove_sandbox(sandbox)


async def test_a_neighbour_can_not_pass_for_the_router(node: Node) -> None:
    sandbox = await node.sandbox("one")
    said = await node.execute(await node.run(sandbox, WAIT_FOREVER), "cat /proc/sys/net/ipv6/conf/eth0/accept_ra")
    assert said.stdout == b"0\n"
    await node.remove_sandbox(sandbox)


async def test_a_port_of_the_host_leads_into_its_sandbox_in_each_family(node: Node) -> None:
    port = 20000 + int(node.config.instance, 16) % 10000
    config = node.sandbox_config("port")
    config.port_mappings.append(make("PortMapping", container_port=80, host_port=port))
    sandbox = await node.sandbox("port", config)
    container = await node.run(sandbox, SERVE)
    await node.execute(container, "until wget -qO- http://localhost/; do sleep 0.1; done")
    for gateway in node.config.gateways.values():
        assert await _hello(gateway, port)
    await node.remove_sandbox(sandbox)
    for gateway in node.config.gateways.values():
        assert not await _hello(gateway, port)


async def test_a_port_of_one_address_of_the_host_is_of_that_family(node: Node) -> None:
    port = 20000 + int(node.config.instance, 16) % 10000
    config, at = node.sandbox_config("port"), node.config.gateways[IPV6]
    config.port_mappings.append(make("PortMapping", container_port=80, host_port=port, host_ip=at))
    sandbox = await node.sandbox("port", config)
    container = await node.run(sandbox, SERVE)
    await node.execute(container, "until wget -qO- http://localhost/; do sleep 0.1; done")
    answers = {family: await _hello(gateway, port) for family, gateway in node.config.gateways.items()}
    assert answers == {family: family is IPV6 for family in answers}
    await node.remove_sandbox(sandbox)


async def _hello(host: str, port: int) -> bool:
    """Whether the page is served there."""
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return False
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    said = await reader.read()
    writer.close()
    return b"hello" in said
