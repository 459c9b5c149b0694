"""The runner's manners: whoever else is on the loop gets a turn between two passes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controllers.plan import Controller, Create, Key, Plan, itself
from controllers.runner import Runner
from machinery.api.errors import Cause, Forbidden, StatusError
from machinery.api.resource import Object, Resource
from machinery.api.resources import SERVICES
from machinery.client.clock import SystemClock
from tests.endpoint_world import World, service

MANY = 50


async def test_passes_that_write_nothing_let_others_run() -> None:
    passes: list[Key] = []
    turns: list[int] = []

    def observe(cache: object, key: Key) -> Key:
        passes.append(key)
        return key

    async def others() -> None:
        while len(passes) < MANY:
            turns.append(len(passes))
            await asyncio.sleep(0)

    quiet = Controller("quiet", wakes={SERVICES: itself}, observe=observe, plan=lambda state, now: Plan())
    world = World(*((SERVICES, service(f"s{each}")) for each in range(MANY)))
    client: Any = None  # Nothing is written.
    runner = Runner(quiet, client, world, SystemClock())
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        work = group.create_task(runner.work())
        await group.create_task(others())
        work.cancel()
    assert max(after - before for before, after in zip(turns, turns[1:], strict=False)) <= 1


class Refusing:
    """A client that creates nothing."""

    def __init__(self, error: StatusError) -> None:
        self._error = error
        self.asked = 0

    async def create(self, resource: Resource, obj: Object, namespace: str = "", **options: Any) -> Object:
        self.asked += 1
        raise self._error


@pytest.mark.parametrize(
    ("error", "is_done"),
    [
        (Forbidden("it is being terminated", causes=(Cause("NamespaceTerminating", "", ""),)), True),
        (Forbidden("you may not"), False),
    ],
)
async def test_a_namespace_that_goes_is_no_reason_to_try_again(error: StatusError, *, is_done: bool) -> None:
    made = {"metadata": {"name": "x", "namespace": "n"}}
    eager = Controller(
        "eager", wakes={}, observe=lambda cache, key: key, plan=lambda state, now: Plan([Create(SERVICES, made)])
    )
    client: Any = Refusing(error)
    runner = Runner(eager, client, World(), SystemClock())
    assert await runner.reconcile(Key("n", "x")) == is_done
    assert client.asked == 1
