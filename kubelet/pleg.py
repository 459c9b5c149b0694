"""Turns runtime events and relists into "look at this pod". Knows no pod but by its uid."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubelet.cri import Cri, RuntimeFailure
from machinery.client.clock import Clock
from machinery.contain import contain

_RELIST_SECONDS = 60.0
_RELIST_WITHOUT_EVENTS = 1.0
# A stream that is open but has told nothing yet may be one that never will: look often until it speaks.


def diff(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    """The uids of pods in which something has changed between two relists."""
    return {uid for uid in before.keys() | after.keys() if before.get(uid) != after.get(uid)}


class Pleg:
    """`changed` is called with a uid; the relist is the safety net under the event stream, or all there is."""

    def __init__(self, cri: Cri, clock: Clock, changed: Callable[[str], None]) -> None:
        self._cri, self._clock, self._changed = cri, clock, changed
        self._has_events = False
        self.is_healthy = True

    async def follow(self) -> None:
        while True:
            with contain("runtime events"):
                try:
                    async for uid in self._cri.events():
                        self._has_events = True
                        self._changed(uid)
                except RuntimeFailure as failure:
                    self._has_events = False
                    if failure.code == "Unimplemented":
                        return
            self._has_events = False
            await self._clock.sleep(1)

    async def relist(self) -> None:
        known: Mapping[str, object] = {}
        while True:
            with contain("relist"):
                found: Mapping[str, object]
                try:
                    found = await self._cri.pod_uids()
                    self.is_healthy = True
                except RuntimeFailure:
                    self.is_healthy, found = False, known
                for uid in diff(known, found):
                    self._changed(uid)
                known = found
            await self._clock.sleep(_RELIST_SECONDS if self._has_events else _RELIST_WITHOUT_EVENTS)
