"""Memory that was freed between what is still used goes back to the kernel."""

from __future__ import annotations

from pathlib import Path

from minikube_py import memory


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
