"""Memory that was freed between what is still used goes back to the kernel, cycles once nobody waits."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from minikube_py import memory


@pytest.fixture
def young_alone() -> Iterator[None]:
    before = gc.get_threshold()
    memory.collect_nothing_yet()
    memory.collect_from_now_on()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class Knot:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.usefixtures("young_alone")
async def test_what_got_old_is_collected_once_the_process_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SOON", 0.0)
    monkeypatch.setattr(memory, "INTERVAL", 0.01)
    monkeypatch.setattr(memory, "_WORTH_IT", 0.0)
    monkeypatch.setattr(memory, "_LOOKS_FOR", 0.05)
    knot = Knot()
    found = weakref.ref(knot)
    gc.collect(0)
    del knot
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        keeper = tasks.create_task(memory.keep_trimmed())
        kept = [[] for _ in range(memory._MANY_PASSES * memory._YOUNG * 2)]
        # Busy, and old enough to be none of the passes over the young.
        ends = time.monotonic() + 0.5
        while time.monotonic() < ends:
            await asyncio.sleep(0)
        assert found() is not None
        while found() is not None:
            await asyncio.sleep(0.01)
        keeper.cancel()
    assert len(kept) > memory._YOUNG


def _resident() -> int:
    """MB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 // 1_000_000


def test_holes_in_the_heap_are_given_back() -> None:
    # Larger than what Python's own allocator serves; every hundredth stays and pins the heap's end.
    made: list[bytes] = [bytes(2000) for _ in range(100_000)]
    kept = made[::100]
    del made
    before = _resident()
    memory.give_back()
    after = _resident()
    assert kept
    assert after < before - 100, (before, after)
