"""Events as upstream's recorder correlates them: the same again is counted, a flood of the alike combined."""

from __future__ import annotations

import asyncio
from typing import Any

from machinery.api.errors import Forbidden, NotFound
from machinery.api.resource import Object
from machinery.client.recorder import EventRecorder
from tests.virtual_time import run

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u"}}


class Events:
    """Keeps what is written; an Event's life is the API server's matter."""

    def __init__(self) -> None:
        self.kept: dict[str, Object] = {}
        self.is_closed = False

    async def create(self, resource: Any, obj: Object, namespace: str = "") -> Object:
        if self.is_closed:
            raise Forbidden("the namespace is being terminated")
        self.kept[obj["metadata"]["name"]] = obj
        return obj

    async def patch(self, resource: Any, name: str, patch: Object, namespace: str, **kwargs: Any) -> Object:
        if name not in self.kept:
            raise NotFound("gone")
        self.kept[name] = {**self.kept[name], **patch}
        return self.kept[name]

    @property
    def told(self) -> list[tuple[str, int]]:
        return [(event["message"], event["count"]) for event in self.kept.values()]


def recorder(events: Events) -> EventRecorder:
    client: Any = events
    return EventRecorder(client, "kubelet", "node")


def test_an_event_has_upstreams_shape() -> None:
    events = Events()
    run(recorder(events).record(POD, "Normal", "Pulled", "it is there", field_path="spec.containers{c}"))
    ((name, event),) = events.kept.items()
    assert name.startswith("p.")
    assert int(name.removeprefix("p."), 16)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "p",
        "namespace": "n",
        "uid": "u",
        "fieldPath": "spec.containers{c}",
    }
    assert event["source"] == {"component": "kubelet", "host": "node"}
    assert (event["type"], event["reason"], event["count"], event["reportingComponent"]) == (
        "Normal",
        "Pulled",
        1,
        "kubelet",
    )


def test_the_same_again_raises_the_count_for_ten_minutes() -> None:
    async def body(events: Events) -> None:
        known = recorder(events)
        for pause in (0, 60, 599, 601):
            await asyncio.sleep(pause)
            await known.record(POD, "Warning", "BackOff", "again")

    events = Events()
    run(body(events))
    assert events.told == [("again", 3), ("again", 1)]


def test_the_tenth_of_the_alike_is_combined_with_those_that_follow() -> None:
    async def body(events: Events) -> None:
        known = recorder(events)
        for number in range(12):
            await known.record(POD, "Normal", "Scaled", f"step {number}")

    events = Events()
    run(body(events))
    assert len(events.told) == 10
    assert events.told[-1] == ("(combined from similar events): step 11", 3)


def test_a_counted_event_that_is_gone_is_written_anew() -> None:
    async def body(events: Events) -> None:
        known = recorder(events)
        await known.record(POD, "Normal", "A", "m")
        events.kept.clear()
        await known.record(POD, "Normal", "A", "m")
        await known.record(POD, "Normal", "A", "m")

    events = Events()
    run(body(events))
    assert len(events.told) == 1


def test_an_event_that_is_refused_harms_nobody() -> None:
    events = Events()
    events.is_closed = True
    run(recorder(events).record(POD, "Normal", "A", "m"))
    assert not events.told


def test_of_one_object_a_burst_is_told_and_then_one_event_in_five_minutes() -> None:
    async def body(events: Events) -> None:
        known = recorder(events)
        for number in range(100):
            await known.record(POD, "Normal", "Created", f"pod {number}")
        combined = ("(combined from similar events): pod 24", 16)
        assert events.told == [*((f"pod {number}", 1) for number in range(9)), combined]
        # Others are told of nevertheless.
        other = {**POD, "metadata": {**POD["metadata"], "uid": "other"}}
        await known.record(other, "Normal", "Created", "of another")
        assert events.told[-1] == ("of another", 1)
        await asyncio.sleep(301)
        await known.record(POD, "Normal", "Created", "pod 100")
        await known.record(POD, "Normal", "Created", "pod 101")
        assert events.told[-2] == ("(combined from similar events): pod 100", 92)

    run(body(Events()))
