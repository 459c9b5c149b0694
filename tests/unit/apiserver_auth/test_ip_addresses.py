"""IPAddresses of Services: one for each cluster address, through the real registry and as a table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest

from apiserver.bootstrap.ip_addresses import IpAddresses, Name, Repair, cluster_addresses, notice, repair
from apiserver.local import LocalClient
from machinery.api.resource import Object
from machinery.api.resources import IP_ADDRESSES, SERVICES
from machinery.client.cache import Change
from tests.unit.apiserver_auth.test_bootstrap_run import client, config, rbac  # noqa: F401 - fixtures
from tests.watched_store import Stage

S, T = ("n", "s"), ("n", "t")
A = "10.96.0.7"


def with_labels(address: Object, **labels: str) -> Object:
    return {**address, "metadata": {**address["metadata"], "labels": labels}}


OTHERS = with_labels({**notice(A, S), "spec": {"parentRef": {"group": "x", "resource": "gateways", "name": "g"}}})


@pytest.mark.parametrize(
    ("services", "there", "expected"),
    [
        ([S], None, Repair(create=notice(A, S))),
        ([S], notice(A, S), Repair()),
        ([], notice(A, S), Repair(delete=notice(A, S))),
        ([], None, Repair()),
        ([], OTHERS, Repair()),
        ([S], OTHERS, Repair(delete=OTHERS, create=notice(A, S))),
        ([S], notice(A, T), Repair(delete=notice(A, T), create=notice(A, S))),
        ([S, T], notice(A, T), Repair()),
        ([S], with_labels(notice(A, S)), Repair(delete=with_labels(notice(A, S)), create=notice(A, S))),
    ],
)
def test_what_is_done_about_an_address(services: Iterable[Name], there: Object | None, expected: Repair) -> None:
    assert repair(A, services, there) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::0:1"]}, ["10.0.0.1", "fd00::1"]),
        ({"clusterIP": "10.0.0.1"}, ["10.0.0.1"]),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, []),
        ({"type": "ExternalName"}, []),
    ],
)
def test_which_addresses_a_service_has(spec: Object, expected: list[str]) -> None:
    assert list(cluster_addresses({"spec": spec})) == expected


async def until(stage: Stage, is_so: Callable[[], bool]) -> None:
    """Returns once a change of an IPAddress has made it so."""
    changed = asyncio.Event()
    end = stage.cache.subscribe(IP_ADDRESSES, lambda change: changed.set())
    try:
        while not is_so():
            changed.clear()
            await changed.wait()
    finally:
        end()


async def test_addresses_come_and_go_with_services_and_are_repaired(client: LocalClient, stage: Stage) -> None:  # noqa: F811
    def found() -> Object | None:
        return stage.cache.get(IP_ADDRESSES, "", A)

    def given(change: Change) -> None:
        if change.after is not None:
            uids.append(change.after["metadata"]["uid"])

    uids: list[str] = []
    stage.cache.subscribe(IP_ADDRESSES, given)
    keeping = IpAddresses(client, stage.cache)
    async with asyncio.TaskGroup() as group:
        run = group.create_task(keeping.run())
        spec = {"clusterIP": A, "ports": [{"port": 80}]}
        await client.create(SERVICES, {"metadata": {"name": "s", "namespace": "n"}, "spec": spec}, "n")
        await until(stage, lambda: found() is not None)
        told = found()
        assert told is not None
        assert told["spec"]["parentRef"] == {"resource": "services", "namespace": "n", "name": "s"}
        assert told["metadata"]["labels"]["ipaddress.kubernetes.io/ip-family"] == "IPv4"
        await client.delete(IP_ADDRESSES, A)
        await until(stage, lambda: len(set(uids)) == 2 and found() is not None)
        await client.delete(SERVICES, "s", "n")
        await until(stage, lambda: found() is None)
        run.cancel()
