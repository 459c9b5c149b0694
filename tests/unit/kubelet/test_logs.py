"""A container's log as clients ask for it: chosen lines, and a log that grows, is rotated or cut while it is read."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kubelet.logruns import NoLog, log_run
from kubelet.logs import BLOCK, LogOptions, line_of, read, tail_offset
from machinery.api.resource import Object

STAMP = b"2026-01-02T03:04:05.123456789Z"


def entry(text: str, tag: str = "F", stamp: bytes = STAMP) -> bytes:
    return stamp + f" stdout {tag} {text}\n".encode()


async def whole(path: Path, options: LogOptions = LogOptions()) -> bytes:  # noqa: B008 - frozen
    return b"".join([piece async for piece in read(path, options, lambda: True)])


def test_a_line_gives_its_text() -> None:
    assert line_of(entry("hello  there"), LogOptions()) == b"hello  there\n"
    assert line_of(entry(""), LogOptions()) == b"\n"


def test_what_is_no_cri_line_gives_nothing() -> None:
    assert line_of(b"", LogOptions()) == b""
    assert line_of(b"nonsense", LogOptions()) == b""
    assert line_of(b"when stdout F text", LogOptions(since=datetime(2026, 1, 1, tzinfo=UTC))) == b""


def test_lines_before_since_are_left_out() -> None:
    since = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert line_of(entry("old"), LogOptions(since=since)) == b""
    assert line_of(entry("old", stamp=b"2026-01-02T05:04:05.5+02:00"), LogOptions(since=since)) == b""
    assert line_of(entry("new", stamp=b"2026-01-02T05:04:07.5+02:00"), LogOptions(since=since)) == b"new\n"


async def test_parts_become_one_line_with_one_timestamp(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(entry("one ", "P") + entry("two") + entry("three"))
    assert await whole(path) == b"one two\nthree\n"
    assert await whole(path, LogOptions(timestamps=True)) == STAMP + b" one two\n" + STAMP + b" three\n"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 99])
async def test_tail_gives_the_last_lines(tmp_path: Path, count: int) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(entry(str(number)) for number in range(3)))
    wanted = [b"0\n", b"1\n", b"2\n"][max(0, 3 - count) :]
    assert await whole(path, LogOptions(tail=count)) == b"".join(wanted)


def test_tail_is_found_across_blocks(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    long, short = entry("x" * (2 * BLOCK)), entry("y")
    path.write_bytes(long + long + short)
    assert tail_offset(path, 1) == 2 * len(long)
    assert tail_offset(path, 2) == len(long)
    assert tail_offset(path, 3) == 0


def test_the_tail_of_an_empty_log_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.touch()
    assert tail_offset(path, 5) == 0


async def test_limit_counts_the_bytes_that_are_given(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(entry("abc") + entry("def"))
    assert await whole(path, LogOptions(limit=6)) == b"abc\nde"


async def test_a_line_longer_than_a_block_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(entry("z" * (3 * BLOCK)))
    assert await whole(path) == b"z" * (3 * BLOCK) + b"\n"


async def test_the_last_words_of_a_killed_writer_are_given(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(entry("whole") + entry("half")[:-1])
    assert await whole(path) == b"whole\nhalf\n"


async def test_follow_gives_what_is_added_until_the_container_is_gone(tmp_path: Path) -> None:
    path, over = tmp_path / "0.log", asyncio.Event()
    path.write_bytes(entry("first"))
    async with asyncio.timeout(10), aclosing(read(path, LogOptions(follow=True), over.is_set)) as pieces:
        assert await anext(pieces) == b"first\n"
        _append(path, entry("second"))
        assert await anext(pieces) == b"second\n"
        _append(path, entry("last"))
        over.set()
        assert [piece async for piece in pieces] == [b"last\n"]


async def test_follow_goes_from_a_rotated_file_to_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(entry("before"))
    async with asyncio.timeout(10), aclosing(read(path, LogOptions(follow=True), lambda: False)) as pieces:
        assert await anext(pieces) == b"before\n"
        _append(path, entry("written to the old file"))
        path.rename(tmp_path / "0.log.20260102")
        # Longer than the old file: its size alone would not tell that it is another.
        path.write_bytes(entry("after" * 100))
        assert await anext(pieces) == b"written to the old file\n"
        assert await anext(pieces) == b"after" * 100 + b"\n"


async def test_follow_begins_anew_where_the_file_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(entry("a long line before the cut"))
    async with asyncio.timeout(10), aclosing(read(path, LogOptions(follow=True), lambda: False)) as pieces:
        assert await anext(pieces) == b"a long line before the cut\n"
        path.write_bytes(entry("new"))
        assert await anext(pieces) == b"new\n"


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


RUNS: Object = {"running": {}}
WAITS: Object = {"waiting": {"reason": "CrashLoopBackOff"}}


def ended(container_id: str) -> Object:
    return {"terminated": {"containerID": container_id}}


@pytest.mark.parametrize(
    ("status", "previous", "run"),
    [
        ({"state": RUNS, "containerID": "x://1"}, False, 0),
        ({"state": RUNS, "containerID": "x://2", "lastState": ended("x://1")}, True, 1),
        ({"state": ended("x://1"), "containerID": "x://1"}, False, 0),
        ({"state": ended("x://2"), "containerID": "x://2", "lastState": ended("x://1")}, True, 1),
        ({"state": WAITS, "containerID": "x://1", "lastState": ended("x://1")}, False, 0),
        ({"state": WAITS, "containerID": "x://1", "lastState": ended("x://1")}, True, 0),
        ({"state": {"terminated": {"exitCode": 137}}, "lastState": ended("x://1")}, False, 0),
    ],
)
def test_which_run_is_meant(status: Object, previous: bool, run: int) -> None:  # noqa: FBT001
    assert log_run(told(status), "c", previous=previous) == run


def told(status: Object | None) -> Object:
    statuses = [] if status is None else [{"name": "c", **status}]
    return {"metadata": {"name": "p"}, "status": {"initContainerStatuses": statuses}}


@pytest.mark.parametrize(
    ("status", "previous", "said"),
    [
        (None, False, 'container "c" in pod "p" is not available'),
        (None, True, 'container "c" in pod "p" is not available'),
        ({"state": RUNS, "lastState": {}}, True, 'previous terminated container "c" in pod "p" not found'),
        ({"state": {"terminated": {"exitCode": 137}}}, False, 'container "c" in pod "p" is terminated'),
        (
            {"state": {"waiting": {"reason": "PodInitializing"}}},
            False,
            'container "c" in pod "p" is waiting to start: PodInitializing',
        ),
        (
            {"state": {"waiting": {"reason": "ErrImagePull"}}},
            False,
            'container "c" in pod "p" is waiting to start: image can\'t be pulled',
        ),
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff"}}},
            False,
            'container "c" in pod "p" is waiting to start: trying and failing to pull image',
        ),
        ({"state": {}}, False, 'container "c" in pod "p" is waiting to start - no logs yet'),
    ],
)
def test_why_there_is_no_log(status: Object | None, previous: bool, said: str) -> None:  # noqa: FBT001
    with pytest.raises(NoLog) as raised:
        log_run(told(status), "c", previous=previous)
    assert str(raised.value) == said
