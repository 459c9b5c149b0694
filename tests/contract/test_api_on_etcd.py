"""The API over a real etcd: every kind lives there as it does over the embedded store."""

from __future__ import annotations

from pathlib import Path

import pytest

from apiserver.storage.etcd import EtcdStore
from machinery.api.resources import CONFIG_MAPS
from tests.contract import test_api_kinds as kinds
from tests.contract.apiserver_running import running
from tests.etcd_server import etcd_server

pytestmark = pytest.mark.etcd


async def test_every_kind_lives_on_etcd(tmp_path: Path) -> None:
    with etcd_server(tmp_path) as (url, _):
        async with running(tmp_path / "server", await EtcdStore.connect([url])) as server:
            walk = kinds.Walk(server.client("tester", ("system:masters",)), None)
            for row in kinds.STORED:
                await kinds.test_a_kind_lives_from_create_to_delete(row, walk, server)


async def test_two_servers_on_one_etcd_see_each_other_at_once(tmp_path: Path) -> None:
    with etcd_server(tmp_path) as (url, _):
        async with (
            running(tmp_path / "one", await EtcdStore.connect([url])) as one,
            running(tmp_path / "two", await EtcdStore.connect([url])) as two,
        ):
            writer, reader = (each.client("tester", ("system:masters",)) for each in (one, two))
            for number in range(20):
                name = f"seen-{number}"
                await writer.create(CONFIG_MAPS, {"metadata": {"name": name}}, "default")
                assert (await reader.get(CONFIG_MAPS, name, "default"))["metadata"]["name"] == name
