"""Records Events as upstream's recorder does: the same again raises the count, too many alike are combined.

Of what happens to one object only so much is told: a burst, then one Event in five minutes (upstream's spam filter).
What is not told is counted, and shows with the next that is.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from machinery.api.errors import NotFound, StatusError
from machinery.api.resource import Object
from machinery.api.resources import EVENTS
from machinery.api.timestamps import rfc3339
from machinery.client.client import Client, PatchType
from machinery.client.clock import Clock, SystemClock
from machinery.contain import contain
from machinery.structs import Struct

WINDOW = 600.0
ALIKE = 10
REMEMBERED = 4096
BURST, REFILL = 25, 300.0
"""How many Events about one object at once; after how many seconds there may be one more."""


class _Told(Struct):
    name: str
    count: int
    at: float


class _Group(Struct):
    messages: set[str]
    at: float


class _Allowance(Struct):
    """How many Events about an object there may be still, as of a moment."""

    left: float
    at: float


class EventRecorder:
    """Writes Events as `component` on `host`; an Event that can't be written harms nobody."""

    def __init__(self, client: Client, component: str, host: str = "", clock: Clock | None = None) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._clock: Clock = clock or SystemClock()
        self._told: OrderedDict[tuple[str, ...], _Told] = OrderedDict()
        self._groups: OrderedDict[tuple[str, ...], _Group] = OrderedDict()
        self._allowances: OrderedDict[tuple[str, ...], _Allowance] = OrderedDict()

    async def record(self, obj: Object, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        """An Event about `obj` (or about its part at `field_path`)."""
        with contain("event", about=f"{reason}: {message}"):
            reference = _reference(obj, field_path)
            names = tuple(reference.get(part, "") for part in ("kind", "namespace", "name", "uid"))
            group = (*names, field_path, type_, reason)
            if self._is_flood(group, message):
                key, message = (*group, "(combined)"), f"(combined from similar events): {message}"
            else:
                key = (*group, message)
            told = self._told.get(key)
            if not self._is_allowed(names):
                if told is not None:
                    told.count += 1
                return
            try:
                if told is None or self._clock.monotonic() - told.at > WINDOW:
                    await self._create(key, reference, type_, reason, message)
                else:
                    await self._count(key, told, reference, message)
            except StatusError:
                # A namespace that is going away takes no Events.
                self._told.pop(key, None)

    def _is_flood(self, group: tuple[str, ...], message: str) -> bool:
        now = self._clock.monotonic()
        found = self._groups.get(group)
        if found is None or now - found.at > WINDOW:
            found = self._groups[group] = _Group(set(), now)
            _bound(self._groups)
        found.at = now
        if message not in found.messages and len(found.messages) < ALIKE:
            found.messages.add(message)
        return len(found.messages) >= ALIKE

    def _is_allowed(self, about: tuple[str, ...]) -> bool:
        now = self._clock.monotonic()
        found = self._allowances.get(about)
        if found is None:
            found = self._allowances[about] = _Allowance(BURST, now)
            _bound(self._allowances)
        found.left, found.at = min(found.left + (now - found.at) / REFILL, BURST), now
        if found.left < 1:
            return False
        found.left -= 1
        return True

    async def _create(self, key: tuple[str, ...], about: Object, type_: str, reason: str, message: str) -> None:
        now = rfc3339(self._clock.now())
        namespace = about.get("namespace") or "default"
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        name = f"{about['name']}.{time.time_ns():x}"
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": type_,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        await self._client.create(EVENTS, event, namespace)
        self._told[key] = _Told(name, 1, self._clock.monotonic())
        _bound(self._told)

    async def _count(self, key: tuple[str, ...], told: _Told, about: Object, message: str) -> None:
        patch = {"count": told.count + 1, "lastTimestamp": rfc3339(self._clock.now()), "message": message}
        try:
            await self._client.patch(
                EVENTS, told.name, patch, about.get("namespace") or "default", patch_type=PatchType.STRATEGIC
            )
        except NotFound:
            self._told.pop(key, None)
            return
        told.count += 1
        told.at = self._clock.monotonic()


def _bound(remembered: OrderedDict[tuple[str, ...], Any]) -> None:
    while len(remembered) > REMEMBERED:
        remembered.popitem(last=False)


def _reference(obj: Object, field_path: str) -> Object:
    metadata = obj["metadata"]
    found = {
        "kind": obj["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "apiVersion": obj["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {key: value for key, value in found.items() if value}
