"""Rates out of counters, and who looks at them when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from machinery.api.errors import InternalError
from machinery.api.resource import Object
from machinery.api.resources import HORIZONTAL_POD_AUTOSCALERS, NODES
from machinery.usage import Counters, Subject, Usage, counters, usages
from minikube_py.addons.metrics.scraper import Scraper
from tests.endpoint_world import World, node
from tests.watched_store import SetClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODE, A, B = Subject(node="node"), Subject("n", "p", "a"), Subject("n", "p", "b")
SECOND = 1_000_000_000


def seen(later: float, **cpu: int) -> dict[Subject, Counters]:
    subjects = {"node": NODE, "a": A, "b": B}
    at = NOW + timedelta(seconds=later)
    return {subjects[name]: Counters(at, value * SECOND, 1024) for name, value in cpu.items()}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (seen(0, a=10), seen(10, a=15), {"a": Usage(SECOND // 2, 1024)}),
        (seen(0, a=10, b=1), seen(10, a=15, b=21), {"a": Usage(SECOND // 2, 1024), "b": Usage(2 * SECOND, 1024)}),
        # One container that is new, or was restarted, tells nothing yet; the pod waits for it.
        (seen(0, a=10), seen(10, a=15, b=3), None),
        (seen(0, a=10), seen(10, a=5), None),
        (seen(0, a=10), seen(0, a=10), None),
        ({}, seen(10, a=5), None),
    ],
)
def test_a_pod_uses_what_came_between(
    before: Mapping[Subject, Counters], after: Mapping[Subject, Counters], expected: Mapping[str, Usage] | None
) -> None:
    found = usages(before, after).pods.get(("n", "p"))
    assert (found.containers if found else None) == expected


def test_a_node_uses_what_came_between() -> None:
    found = usages(seen(0, node=1), seen(4, node=9)).nodes["node"]
    assert found.usage == Usage(2 * SECOND, 1024)
    assert (found.at, found.window) == (NOW + timedelta(seconds=4), timedelta(seconds=4))


def summary(at: datetime, cpu: int) -> Object:
    usage = {"cpu": {"time": at.isoformat(), "usageCoreNanoSeconds": cpu}, "memory": {"workingSetBytes": 1024}}
    pod = {"podRef": {"name": "p", "namespace": "n", "uid": "u"}, "containers": [{"name": "a", **usage}]}
    return {"node": {"nodeName": "node", **usage}, "pods": [pod]}


def test_a_summary_has_counters_of_the_node_and_of_containers() -> None:
    found = counters(summary(NOW, 7))
    assert found == {NODE: Counters(NOW, 7, 1024), A: Counters(NOW, 7, 1024)}


class Kubelets:
    """Answers as kubelets do, half a core busy; counts how often it is asked."""

    def __init__(self, clock: SetClock) -> None:
        self._clock, self._began = clock, clock.now()
        self.asked = 0

    async def fetch(self, name: str) -> bytes:
        self.asked += 1
        if name != "node":
            raise InternalError("nobody there")
        passed = (self._clock.now() - self._began) / timedelta(seconds=1)
        return orjson.dumps(summary(self._clock.now(), int(passed * SECOND / 2)))


async def test_who_asks_first_waits_for_two_looks_and_the_next_for_none() -> None:
    clock = SetClock()
    kubelets = Kubelets(clock)
    scraper = Scraper(World((NODES, node()), (NODES, node("away"))), kubelets.fetch, clock)
    assert not scraper.latest.nodes
    found = await scraper.usages()
    assert found.pods["n", "p"].containers == {"a": Usage(SECOND // 2, 1024)}
    assert list(found.nodes) == ["node"]
    assert kubelets.asked == 4
    assert await scraper.usages() is found
    assert kubelets.asked == 4
    await clock.sleep(10)
    assert (await scraper.usages()).nodes["node"].window == timedelta(seconds=10)
    assert kubelets.asked == 6


class Ended(Exception):  # noqa: N818 - an end, no error
    pass


async def test_nothing_is_read_without_an_autoscaler() -> None:
    """With one, it is read every quarter of a minute."""

    class Clock(SetClock):
        periods = 0

        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            self.periods += seconds == 15.0
            if self.periods == 3:
                raise Ended

    clock = Clock()
    kubelets = Kubelets(clock)
    autoscaler: Any = {"metadata": {"name": "h", "namespace": "n"}}
    world = World((NODES, node()), (HORIZONTAL_POD_AUTOSCALERS, autoscaler))
    with pytest.raises(Ended):
        await Scraper(world, kubelets.fetch, clock).run()
    assert kubelets.asked == 4
