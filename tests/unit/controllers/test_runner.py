"""The runner's manners: whoever else is on the loop gets a turn between two passes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controllers.plan import Controller, Create, Delete, Key, Plan, Record, UpdateStatus, itself
from controllers.runner import Runner, batches
from machinery.api.errors import AlreadyExists, Cause, Forbidden, StatusError
from machinery.api.resource import Object, Resource
from machinery.api.resources import EVENTS, PERSISTENT_VOLUME_CLAIMS, PODS, SERVICES
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


def test_what_is_alike_is_done_together_and_creations_are_tried_first() -> None:
    pods = [Create(PODS, {"metadata": {"name": f"p{number}"}}) for number in range(40)]
    gone = [Delete(PODS, Key("n", f"p{number}")) for number in range(20)]
    claim = Create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "c"}})
    told = UpdateStatus(PODS, {})
    found = [list(batch) for batch in batches([claim, *pods, told, told, *gone, claim])]
    assert [len(batch) for batch in found] == [1, 1, 2, 4, 8, 16, 9, 1, 1, 16, 4, 1]
    assert [action for batch in found for action in batch] == [claim, *pods, told, told, *gone, claim]


class Full:
    """A client with room for some pods, which keeps the Events that it is told."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.asked = 0
        self.events: list[str] = []

    async def create(self, resource: Resource, obj: Object, namespace: str = "", **options: Any) -> Object:
        if resource != PODS:
            self.events.append(obj["message"])
            return obj
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0)
        if number > self.room:
            raise Forbidden("exceeded quota")
        return {"metadata": {"name": f"p{number}", "resourceVersion": ""}}


async def test_where_no_more_is_allowed_few_attempts_tell() -> None:
    owner = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "namespace": "n"}}
    wanted = [Create(PODS, {"metadata": {"namespace": "n"}}, owner) for _ in range(100)]
    failures: list[str] = []

    def tell(action: object, error: StatusError) -> list[Any]:
        failures.append(error.message)
        return []

    maker = Controller(
        "maker", wakes={}, observe=lambda cache, key: key, plan=lambda state, now: Plan(wanted, on_failure=tell)
    )
    client: Any = Full(2)
    assert not await Runner(maker, client, World(), SystemClock()).reconcile(Key("n", "x"))
    assert client.asked == 3
    assert failures == ["exceeded quota"]
    assert client.events == ["Created pod: p1", "Created pod: p2", "Error creating: exceeded quota"]


class Booked:
    """A client for which the names in `taken` are; what is made besides is kept."""

    def __init__(self, *taken: str) -> None:
        self._taken = taken
        self.made: list[str] = []

    async def create(self, resource: Resource, obj: Object, namespace: str = "", **options: Any) -> Object:
        if resource == EVENTS:
            self.made.append(f"event {obj['reason']}")
            return obj
        name = obj["metadata"]["name"]
        if name in self._taken:
            raise AlreadyExists(name)
        self.made.append(name)
        return obj


@pytest.mark.parametrize(
    ("taken", "is_exclusive", "is_done", "expected"),
    [
        ([], False, True, ["x", "event Made", "y"]),
        ([], True, True, ["x", "event Made", "y"]),
        # Whoever has the name: of no success of ours is told.
        (["x"], False, True, ["y"]),
        (["x"], True, False, ["event Taken"]),
    ],
)
async def test_a_name_that_is_taken_is_a_failure_where_it_must_be_one_s_own(
    taken: list[str], *, is_exclusive: bool, is_done: bool, expected: list[str]
) -> None:
    about = service("about")
    about.update(apiVersion="v1", kind="Service")

    def plan(state: object, now: object) -> Plan:
        first = Create(
            SERVICES,
            {"metadata": {"name": "x", "namespace": "n"}},
            is_exclusive=is_exclusive,
            success=Record(about, "Normal", "Made", "made"),
        )
        second = Create(SERVICES, {"metadata": {"name": "y", "namespace": "n"}})
        return Plan([first, second], on_failure=lambda action, error: [Record(about, "Warning", "Taken", "taken")])

    controller = Controller("own", wakes={}, observe=lambda cache, key: key, plan=plan)
    client: Any = Booked(*taken)
    runner = Runner(controller, client, World(), SystemClock())
    assert await runner.reconcile(Key("n", "x")) == is_done
    assert client.made == expected
