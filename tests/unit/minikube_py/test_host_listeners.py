"""Which ports of the machine are somebody's already, and when that has to be looked at."""

from __future__ import annotations

import asyncio
import socket

import pytest

from controllers.service_port_claims import Port
from machinery.client.clock import SystemClock
from machinery.linux.listeners import Listener
from minikube_py.host_listeners import HostListeners, held

NGINX, OWN, LOCAL = (
    Listener("tcp", "0.0.0.0", 80, 1),
    Listener("udp", "192.0.2.2", 53, 2),
    Listener("tcp", "127.0.0.1", 80, 3),
)  # noqa: S104


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        ([NGINX], [Port("TCP", 80)]),
        ([OWN], [Port("UDP", 53)]),
        ([LOCAL], []),
        ([Listener("tcp", "::", 80, 1)], [Port("TCP", 80)]),
        ([Listener("udp", "0.0.0.0", 80, 1)], []),  # noqa: S104
        ([Listener("tcp", "192.0.2.3", 80, 1)], []),
        ([], []),
    ],
)
def test_a_port_is_taken_where_it_is_listened_on_at_the_address(found: list[Listener], taken: list[Port]) -> None:
    wanted = [Port("TCP", 80), Port("UDP", 53)]
    assert list(held([(each, "it") for each in found], wanted, ["192.0.2.2"])) == taken


async def test_what_listens_is_found_with_its_program_and_missed_when_it_is_gone() -> None:
    heard = HostListeners(SystemClock())
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        looking = group.create_task(heard.run())
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = Port("TCP", server.getsockname()[1])
            assert heard.taken([port], ["127.0.0.1"]) is None
            while (found := heard.taken([port], ["127.0.0.1"])) is None:
                await asyncio.sleep(0.01)
            assert "process" in found[port]
        looking.cancel()
