"""An object that a controller can't decide on: told by one Event, looked at again later, in nobody's way."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from controllers.plan import Controller, Key, Patch, Plan, itself
from controllers.runner import Runner
from machinery.api.resource import Object
from machinery.api.resources import CONFIG_MAPS, EVENTS
from machinery.client.cache import Cache
from machinery.client.clock import SystemClock
from tests.contract.apiserver_running import running


def observe(cache: Cache, key: Key) -> Object | None:
    return cache.get(CONFIG_MAPS, key.namespace, key.name)


def plan(state: Object, now: datetime) -> Plan:
    if state["metadata"]["name"] == "odd":
        raise KeyError("what it needs")
    done = {"metadata": {"labels": {"seen": "yes"}}}
    return Plan([Patch(CONFIG_MAPS, Key(state["metadata"]["namespace"], state["metadata"]["name"]), done)])


async def test_an_object_that_cannot_be_planned_is_told_of_once_and_stops_no_other(tmp_path: Path) -> None:
    async with running(tmp_path) as server, asyncio.TaskGroup() as group:
        client = server.client("tester", ("system:masters",))
        controller = Controller("test", {CONFIG_MAPS: itself}, observe, plan, concurrency=1, retries=(0.001, 0.001))
        work = group.create_task(Runner(controller, client, server.cache, SystemClock()).work())
        for name in ("odd", "sound"):
            await client.create(CONFIG_MAPS, {"metadata": {"name": name}}, "default")

        def told() -> list[Object]:
            found = server.cache.list(EVENTS, "default")
            return [event for event in found if event["involvedObject"]["name"] == "odd"]

        async with asyncio.timeout(20):
            while (
                not told()
                or (server.cache.get(CONFIG_MAPS, "default", "sound") or {})["metadata"].get("labels") is None
            ):
                await server.cache.wait_for(server.cache.revision + 1)
        # It fails again and again meanwhile, which is worth no other Event and no higher count.
        for number in range(20):
            await client.patch(CONFIG_MAPS, "sound", {"data": {"a": str(number)}}, "default")
        (event,) = told()
        assert (event["reason"], event["count"]) == ("FailedReconcile", 1)
        assert event["message"] == "The test controller can't act on it: KeyError: 'what it needs'"
        work.cancel()
