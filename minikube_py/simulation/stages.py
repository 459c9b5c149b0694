"""What happens next to an object on a simulated node: KWOK's Stages, as values.

A stage says which objects it is for, how long it waits, how it weighs against others that are for the same object, and
what it does. Nothing here knows a clock or draws a number: both come with the `Moment`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from controllers.plan import Action, Plan
from machinery.api.resource import Object
from machinery.structs import Struct


class Moment(Struct, frozen=True):
    """When an object came to be as it is, and two numbers in [0, 1) drawn then: which stage, how much jitter."""

    at: datetime
    choice: float = 0.0
    jitter: float = 0.0


class Scene(Struct, frozen=True):
    """What a stage may use besides the object: the time, and the addresses of node and pod."""

    now: datetime
    node_ip: str = ""
    pod_ip: str = ""
    started: datetime | None = None
    """When the simulation began."""


Matches = Callable[[Object], bool]
Weight = Callable[[Object], int | None]
"""How a stage weighs against others, None where what says so can't be read."""
Lasting = Callable[[Object, datetime], timedelta | None]
"""How long an object waits, None where the object does not say."""


def _even(obj: Object) -> int | None:
    return 0


def _at_once(obj: Object, now: datetime) -> timedelta | None:
    return None


class Stage(Struct, frozen=True):
    """`kind` is that of the objects; `act` gives the actions that carry the stage out."""

    name: str
    kind: str
    matches: Matches
    act: Callable[[Object, Scene], Sequence[Action]]
    weight: Weight = _even
    duration: Lasting = _at_once
    jitter: Lasting = _at_once
    """The longest that it may last, drawn evenly from `duration` on; shorter than that, it counts alone."""
    has_delay: bool = False

    def delay(self, obj: Object, moment: Moment) -> timedelta:
        least, most = self.duration(obj, moment.at), self.jitter(obj, moment.at)
        shortest = least or timedelta()
        if most is None:
            return shortest
        return most if most < shortest else shortest + (most - shortest) * moment.jitter


def chosen(matching: Sequence[Stage], obj: Object, moment: Moment) -> Stage:
    """One of those that match, by their weights; where none weighs anything each is as likely."""
    if len(matching) == 1:
        return matching[0]
    weighed = [(stage, stage.weight(obj)) for stage in matching]
    readable = [(stage, weight) for stage, weight in weighed if weight is not None]
    total = sum(weight for _, weight in readable if weight > 0)
    if not total:
        among = [stage for stage, _ in readable] or list(matching)
        return among[int(moment.choice * len(among))]
    left = moment.choice * total
    for stage, weight in readable:
        if weight > 0:
            left -= weight
            if left < 0:
                return stage
    return readable[-1][0]


class State(Struct, frozen=True):
    """An object on a simulated node with the stages that are for it."""

    obj: Object
    matching: Sequence[Stage]
    moment: Moment
    node_ip: str = ""
    pod_ip: str = ""
    started: datetime | None = None


def plan(state: State, now: datetime) -> Plan:
    """Carries the stage out once its delay is over; until then looks again when it will be."""
    stage = chosen(state.matching, state.obj, state.moment)
    waits = (state.moment.at + stage.delay(state.obj, state.moment) - now).total_seconds()
    if waits > 0:
        return Plan(requeue_after=waits)
    return Plan(stage.act(state.obj, Scene(now, state.node_ip, state.pod_ip, state.started)))
