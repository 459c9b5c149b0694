"""The binder on a real API server, dying between any two writes: a claim has one volume and a volume one claim."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.plan import Key
from controllers.volume_binder import VOLUME_BINDER
from controllers.volume_protection import CLAIM_PROTECTION, VOLUME_PROTECTION
from machinery.api.errors import AlreadyExists, NotFound
from machinery.api.resource import Object
from machinery.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from tests.mortal_controller import House, Mortal, served

SIZES = ("1Gi", "2Gi")


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with served() as found:
        yield found


def claim(name: str, size: str, group: str, volume: str = "") -> Object:
    spec: Object = {
        "accessModes": ["ReadWriteOnce"], "storageClassName": group, "resources": {"requests": {"storage": size}},
    }  # fmt: skip
    if volume:
        spec["volumeName"] = volume
    return {"metadata": {"name": name}, "spec": spec}


def volume(name: str, size: str, group: str) -> Object:
    spec = {
        "accessModes": ["ReadWriteOnce"], "storageClassName": group, "capacity": {"storage": size},
        "hostPath": {"path": "/data"},
    }  # fmt: skip
    return {"metadata": {"name": name}, "spec": spec}


class Pairs:
    """The claims and volumes of one example; its class keeps it apart from the others."""

    def __init__(self, house: House, namespace: str) -> None:
        self.house, self.namespace, self.group = house, namespace, namespace
        self.binder = Mortal(house.server, VOLUME_BINDER)
        self.guards = [(Mortal(house.server, each)) for each in (CLAIM_PROTECTION, VOLUME_PROTECTION)]

    def claims(self) -> list[Object]:
        return list(self.house.server.cache.list(PERSISTENT_VOLUME_CLAIMS, self.namespace))

    def volumes(self) -> list[Object]:
        found = self.house.server.cache.list(PERSISTENT_VOLUMES)
        return [each for each in found if each["spec"].get("storageClassName") == self.group]

    def keys(self) -> list[Key]:
        claims = [Key(self.namespace, each["metadata"]["name"], PERSISTENT_VOLUME_CLAIMS) for each in self.claims()]
        return [*claims, *(Key("", each["metadata"]["name"], PERSISTENT_VOLUMES) for each in self.volumes())]

    async def happen(self, what: str, number: int, size: str) -> None:
        client, name = self.house.client, f"{self.namespace}-{number}"
        with contextlib.suppress(AlreadyExists, NotFound):
            match what:
                case "claim":
                    await client.create(PERSISTENT_VOLUME_CLAIMS, claim(name, size, self.group), self.namespace)
                case "named":
                    wanted = claim(name, size, self.group, f"{self.namespace}-{number % 2}")
                    await client.create(PERSISTENT_VOLUME_CLAIMS, wanted, self.namespace)
                case "volume":
                    await client.create(PERSISTENT_VOLUMES, volume(name, size, self.group))
                case "no claim":
                    await client.delete(PERSISTENT_VOLUME_CLAIMS, name, self.namespace)
                case "no volume":
                    await client.delete(PERSISTENT_VOLUMES, name)

    async def look_at_all(self) -> None:
        for key in self.keys():
            await self.binder.look(key)
            guard = self.guards[key.resource == PERSISTENT_VOLUMES]
            await guard.look(Key(key.namespace, key.name))

    def check(self) -> None:
        volumes = {each["metadata"]["name"]: each for each in self.volumes()}
        phases = [each["status"]["phase"] for each in self.claims()]
        # Whose volume was taken away, by another or by its user, has lost its data.
        assert set(phases) <= {"Bound", "Pending"}
        bound = [each for each in self.claims() if each["status"]["phase"] == "Bound"]
        for each in bound:
            assert volumes[each["spec"]["volumeName"]]["spec"]["claimRef"]["uid"] == each["metadata"]["uid"]
        kept = [each for each in volumes.values() if each["status"]["phase"] == "Bound"]
        assert len({each["spec"]["volumeName"] for each in bound}) == len(bound) == len(kept)
        assert not any(each["metadata"].get("deletionTimestamp") for each in self.claims())


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_one_claim_has_one_volume_whenever_the_binder_dies(house: House, data: st.DataObject) -> None:
    house.run(_one_has_one(house, data))


async def _one_has_one(house: House, data: st.DataObject) -> None:
    pairs = Pairs(house, await house.namespace())
    draw: Any = data.draw
    for _ in range(draw(st.integers(1, 12))):
        what = draw(st.sampled_from(["claim", "named", "volume", "no claim", "no volume", "look", "look"]))
        if what != "look":
            await pairs.happen(what, draw(st.integers(0, 2)), draw(st.sampled_from(SIZES)))
        elif keys := pairs.keys():
            await pairs.binder.look(draw(st.sampled_from(keys)), draw(st.integers(0, 2)))
    keys = pairs.keys()
    if keys:
        await pairs.binder.at_rest(keys[0], partial(pairs.look_at_all))
    pairs.check()
