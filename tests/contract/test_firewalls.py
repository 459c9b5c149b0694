"""Pods pass the machine's firewalls, also those that are loaded anew, and nothing of it is left afterwards."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection
from pathlib import Path

import pytest

from machinery.linux import nft
from machinery.linux.nft_events import Table
from runtime.network import firewalls
from tests.contract.firewalls import DOCKER, FIREWALLD
from tests.contract.node_client import running

ALL = "a>b b>a a>h a>o o>a h>a"


@pytest.mark.parametrize(("rules", "table"), [(DOCKER, "filter"), (FIREWALLD, "firewalld")])
def test_pods_pass_a_firewall_and_one_that_is_loaded_anew(tmp_path: Path, rules: str, table: str) -> None:
    family = "ip" if table == "filter" else "inet"
    with running(tmp_path, rules) as node:
        assert node.passing(ALL, ALL) == ALL
        node.follow()
        node.run("nft", "delete", "table", family, table)
        for line in rules.strip().splitlines():
            node.run("nft", line)
        assert node.passing("a>b", "") == ""
        assert node.follow() == [table]
        assert node.passing(ALL, ALL) == ALL
        # Our own rule is a change too, after which there is nothing to do.
        before = node.run("nft", "list", "table", family, table)
        assert node.follow() == [table]
        assert node.run("nft", "list", "table", family, table) == before


async def test_what_others_change_is_told_once_it_has_settled() -> None:
    told: asyncio.Queue[Collection[Table] | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    name = f"told-{socket.gethostname()}"[:20]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(firewalls.follow(lambda found: loop.call_soon_threadsafe(told.put_nowait, found)))
        try:
            async with asyncio.timeout(30):
                # What was changed before it listened.
                assert await told.get() is None
                while True:
                    await asyncio.to_thread(nft.run, f"add table ip {name}; add chain ip {name} c\n")
                    await asyncio.to_thread(nft.run, f"delete table ip {name}\n")
                    found = await told.get()
                    if found is None or Table("ip", name) in found:
                        break
        finally:
            task.cancel()
