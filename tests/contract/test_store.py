"""The store's contract, held by every implementation: what is asserted here is etcd's behaviour."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from apiserver.storage.sqlite import SqliteStore
from apiserver.storage.store import (
    CompactedError,
    FutureRevisionError,
    LeaseExpiredError,
    Store,
    StoreEvent,
    StoreUnavailableError,
    TxnResult,
)
from tests.etcd_server import etcd_server

OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture(scope="module")
def etcd_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with etcd_server(tmp_path_factory.mktemp("etcd")) as (url, _):
        yield url


@pytest.fixture(params=["file", "memory", pytest.param("etcd", marks=pytest.mark.etcd)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await _open(request, tmp_path)
    yield opened
    await opened.close()


async def _open(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "etcd":
        from apiserver.storage.etcd import EtcdStore

        return await EtcdStore.connect([request.getfixturevalue("etcd_url")], prefix=f"/{uuid4()}")
    return await SqliteStore.open(tmp_path / "state.db" if request.param == "file" else None)


async def put(store: Store, key: str, value: bytes = b"{}", *, expected: int = 0, lease: int = 0) -> int:
    done = await store.put(key, value, expected=expected, lease=lease)
    assert done.succeeded
    return done.revision


async def keys(store: Store, prefix: str, *, revision: int = 0) -> list[str]:
    return [item.key for item in (await store.range(prefix, revision=revision)).items]


async def watched(store: Store, prefix: str, *, start: int, count: int) -> list[StoreEvent]:
    """The first `count` events; whole batches, each of whole revisions."""
    found: list[StoreEvent] = []
    async with asyncio.timeout(10), store.watch(prefix, start=start) as batches:
        async for batch in batches:
            found += batch
            if len(found) >= count:
                return found
    return found


async def test_a_put_of_an_absent_key_creates_it(store: Store) -> None:
    before = await store.current_revision()
    done = await store.put("/registry/pods/a", b"one", expected=0)
    assert done.succeeded
    assert done.current is None
    assert done.revision > before
    assert await store.current_revision() == done.revision
    found = await store.range("/registry/pods/a")
    assert (found.count, found.more, found.revision) == (1, False, done.revision)
    (item,) = found.items
    assert (item.key, item.value, item.lease) == ("/registry/pods/a", b"one", 0)
    assert (item.create_revision, item.mod_revision) == (done.revision, done.revision)


async def test_a_put_with_another_revision_writes_nothing_and_tells_what_is_there(store: Store) -> None:
    created = await put(store, "/registry/pods/a", b"one")
    for expected in (0, created - 1, created + 1):
        refused = await store.put("/registry/pods/a", b"two", expected=expected)
        assert not refused.succeeded
        assert refused.current is not None
        assert (refused.current.value, refused.current.mod_revision) == (b"one", created)
    assert await store.current_revision() == created


async def test_a_put_that_expects_an_absent_key_to_be_there_tells_that_it_is_not(store: Store) -> None:
    refused = await store.put("/registry/pods/a", b"two", expected=7)
    assert not refused.succeeded
    assert refused.current is None


async def test_an_update_keeps_the_create_revision(store: Store) -> None:
    created = await put(store, "/registry/pods/a", b"one")
    updated = await put(store, "/registry/pods/a", b"two", expected=created)
    (item,) = (await store.range("/registry/pods/a")).items
    assert (item.value, item.create_revision, item.mod_revision) == (b"two", created, updated)


async def test_a_delete_needs_the_revision_and_leaves_nothing(store: Store) -> None:
    created = await put(store, "/registry/pods/a", b"one")
    refused = await store.delete("/registry/pods/a", expected=created + 1)
    assert not refused.succeeded
    assert refused.current is not None
    assert refused.current.value == b"one"
    deleted = await store.delete("/registry/pods/a", expected=created)
    assert deleted.succeeded
    assert deleted.revision == created + 1
    assert await keys(store, "/registry/pods/a") == []
    again = await store.delete("/registry/pods/a", expected=created)
    assert not again.succeeded
    assert again.current is None


async def test_a_key_made_again_has_a_new_create_revision(store: Store) -> None:
    created = await put(store, "/registry/pods/a")
    await store.delete("/registry/pods/a", expected=created)
    again = await put(store, "/registry/pods/a")
    (item,) = (await store.range("/registry/pods/a")).items
    assert item.create_revision == again > created


async def test_a_delete_of_an_absent_key_that_expects_that_changes_nothing(store: Store) -> None:
    before = await put(store, "/registry/pods/b")
    assert (await store.delete("/registry/pods/a", expected=0)).succeeded
    assert await store.current_revision() == before


async def test_a_range_is_in_the_order_of_bytes_and_ends_with_the_prefix(store: Store) -> None:
    names = ["a/x", "a-b/x", "b", "a/y", "é/x", "Z/x"]
    for name in names:
        await put(store, f"/registry/pods/{name}")
    await put(store, "/registry/podsets/a")
    await put(store, "/registry/podsecurity")
    expected = sorted((f"/registry/pods/{name}" for name in names), key=str.encode)
    assert await keys(store, "/registry/pods/") == expected
    assert await keys(store, "/registry/pods/a/") == ["/registry/pods/a/x", "/registry/pods/a/y"]
    assert await keys(store, "/registry/pods/b") == ["/registry/pods/b"]
    assert await keys(store, "/registry/pods") == []
    assert await keys(store, "/registry/nothing/") == []


async def test_pages_of_a_range_follow_each_other(store: Store) -> None:
    for index in range(7):
        await put(store, f"/registry/pods/{index}")
    first = await store.range("/registry/pods/", limit=3)
    assert [item.key[-1] for item in first.items] == ["0", "1", "2"]
    assert (first.count, first.more) == (7, True)
    await put(store, "/registry/pods/3a")
    second = await store.range("/registry/pods/", limit=3, start_after=first.items[-1].key, revision=first.revision)
    assert [item.key[-1] for item in second.items] == ["3", "4", "5"]
    assert (second.count, second.more) == (4, True)
    last = await store.range("/registry/pods/", limit=3, start_after="/registry/pods/5", revision=first.revision)
    assert [item.key[-1] for item in last.items] == ["6"]
    assert (last.count, last.more) == (1, False)
    exact = await store.range("/registry/pods/", limit=8)
    assert (len(exact.items), exact.count, exact.more) == (8, 8, False)


async def test_a_range_at_a_revision_shows_what_was_there(store: Store) -> None:
    a = await put(store, "/registry/pods/a", b"old")
    b = await put(store, "/registry/pods/b")
    await put(store, "/registry/pods/a", b"new", expected=a)
    await store.delete("/registry/pods/b", expected=b)
    then = await store.range("/registry/pods/", revision=b)
    assert [(item.key, item.value) for item in then.items] == [
        ("/registry/pods/a", b"old"),
        ("/registry/pods/b", b"{}"),
    ]
    assert then.revision == await store.current_revision()
    assert await keys(store, "/registry/pods/") == ["/registry/pods/a"]
    assert await keys(store, "/registry/pods/", revision=a) == ["/registry/pods/a"]


async def test_a_revision_that_has_not_happened_is_refused(store: Store) -> None:
    newest = await put(store, "/registry/pods/a")
    with pytest.raises(FutureRevisionError):
        await store.range("/registry/pods/", revision=newest + 1)
    with pytest.raises(FutureRevisionError):
        await store.compact(newest + 1)


async def test_values_come_back_byte_for_byte(store: Store) -> None:
    values = [bytes(range(256)), b"", b"k8s\0\n", b"x" * 1_000_000]
    for index, value in enumerate(values):
        await put(store, f"/registry/pods/{index}", value)
    assert [item.value for item in (await store.range("/registry/pods/")).items] == values


async def test_compaction_forgets_the_past_and_keeps_the_state(store: Store) -> None:
    a = await put(store, "/registry/pods/a", b"1")
    b = await put(store, "/registry/pods/b", b"1")
    await store.delete("/registry/pods/b", expected=b)
    a2 = await put(store, "/registry/pods/a", b"2", expected=a)
    a3 = await put(store, "/registry/pods/a", b"3", expected=a2)
    await store.compact(a2)
    with pytest.raises(CompactedError) as ranged:
        await store.range("/registry/pods/", revision=a2 - 1)
    assert ranged.value.compacted == a2
    with pytest.raises(CompactedError) as followed:
        await watched(store, "/registry/pods/", start=a2 - 1, count=1)
    assert followed.value.compacted == a2
    with pytest.raises(CompactedError):
        await store.compact(a2)
    then = await store.range("/registry/pods/", revision=a2)
    assert [(item.key, item.value, item.create_revision) for item in then.items] == [("/registry/pods/a", b"2", a)]
    (event,) = await watched(store, "/registry/pods/", start=a2 + 1, count=1)
    assert (event.value, event.revision) == (b"3", a3)
    assert event.previous is not None
    assert event.previous.value == b"2"


async def test_compaction_again_and_again_loses_no_living_key(store: Store) -> None:
    alive: dict[str, bytes] = {}
    revisions: dict[str, int] = {}
    for step in range(60):
        key = f"/registry/pods/{step % 7}"
        if step % 5 == 4 and key in alive:
            assert (await store.delete(key, expected=revisions[key])).succeeded
            del alive[key], revisions[key]
        else:
            alive[key] = b"%d" % step
            revisions[key] = await put(store, key, alive[key], expected=revisions.get(key, 0))
        if step % 9 == 8:
            await store.compact(await store.current_revision())
    assert {item.key: item.value for item in (await store.range("/registry/pods/")).items} == alive


async def test_a_watch_tells_what_happened_and_goes_on_with_what_happens(store: Store) -> None:
    a = await put(store, "/registry/pods/a", b"1")
    await put(store, "/registry/nodes/x")
    deleted = (await store.delete("/registry/pods/a", expected=a)).revision
    events: list[StoreEvent] = []
    async with asyncio.timeout(10), store.watch("/registry/pods/", start=a) as batches:
        async for batch in batches:
            events += batch
            if len(events) == 2:
                again = await put(store, "/registry/pods/a", b"2")
                await put(store, "/registry/pods/a", b"3", expected=again)
            if len(events) == 4:
                break
    assert [(event.type, event.value, event.revision) for event in events] == [
        ("put", b"1", a),
        ("delete", b"", deleted),
        ("put", b"2", again),
        ("put", b"3", again + 1),
    ]
    assert [event.previous.value if event.previous else None for event in events] == [None, b"1", None, b"2"]
    assert [event.create_revision for event in events] == [a, a, again, again]
    last = events[-1].previous
    assert last is not None
    assert (last.mod_revision, last.create_revision) == (again, again)


async def test_a_watch_may_start_in_the_future(store: Store) -> None:
    now = await store.current_revision()
    async with asyncio.timeout(10), store.watch("/registry/pods/", start=now + 3) as batches:
        for index in range(4):
            await put(store, f"/registry/pods/{index}")
        async for batch in batches:
            assert batch[0].revision == now + 3
            break


async def test_a_watch_of_one_key_tells_of_that_alone(store: Store) -> None:
    start = await put(store, "/registry/pods/ab")
    await put(store, "/registry/pods/a", b"1")
    (event,) = await watched(store, "/registry/pods/a", start=start, count=1)
    assert event.key == "/registry/pods/a"


async def test_a_watch_misses_nothing_while_many_write(store: Store) -> None:
    start = await store.current_revision() + 1

    async def write(writer: int) -> list[int]:
        return [await put(store, f"/registry/pods/{writer}-{index}") for index in range(40)]

    async def follow(delay: int) -> Sequence[StoreEvent]:
        # Joins while others write: what is past comes from the log, the rest as it is committed.
        for _ in range(delay):
            await store.current_revision()
        return await watched(store, "/registry/pods/", start=start, count=400)

    *followed, written = await asyncio.gather(
        follow(0), follow(20), follow(60), asyncio.gather(*(write(writer) for writer in range(10)))
    )
    revisions = sorted(revision for writer in written for revision in writer)
    assert revisions == list(range(start, start + 400))
    for events in followed:
        assert [event.revision for event in events] == revisions


async def test_of_many_who_compare_and_put_one_wins_each_time(store: Store) -> None:
    await put(store, "/registry/pods/counter", b"0")

    async def increment() -> None:
        for _ in range(5):
            done = False
            while not done:
                (item,) = (await store.range("/registry/pods/counter")).items
                value = b"%d" % (int(item.value) + 1)
                done = (await store.put(item.key, value, expected=item.mod_revision)).succeeded

    await asyncio.gather(*(increment() for _ in range(8)))
    assert (await store.range("/registry/pods/counter")).items[0].value == b"40"


async def test_relaxed_writes_are_writes(store: Store) -> None:
    done = await store.put("/registry/leases/a", b"1", expected=0, relaxed=True)
    assert done.succeeded
    assert (await store.range("/registry/leases/a")).items[0].mod_revision == done.revision
    assert await put(store, "/registry/pods/a") == done.revision + 1


async def test_the_keys_of_a_lease_end_with_it(store: Store) -> None:
    lease, longer = await store.grant_lease(1), await store.grant_lease(3600)
    start = await put(store, "/registry/events/a", b"a", lease=lease)
    kept = await put(store, "/registry/events/kept", b"k", lease=lease)
    moved = await put(store, "/registry/events/moved", b"m", lease=lease)
    await put(store, "/registry/events/long", b"l", lease=longer)
    await put(store, "/registry/events/kept", b"K", expected=kept)
    await put(store, "/registry/events/moved", b"M", expected=moved, lease=longer)
    await put(store, "/registry/events/b", b"b", lease=lease)
    events = await watched(store, "/registry/events/", start=start, count=9)
    gone = [event for event in events if event.type == "delete"]
    assert [event.key for event in gone] == ["/registry/events/a", "/registry/events/b"]
    assert gone[0].previous is not None
    assert (gone[0].previous.value, gone[0].previous.lease) == (b"a", lease)
    left = [(item.key, item.lease) for item in (await store.range("/registry/events/")).items]
    assert left == [
        ("/registry/events/kept", 0),
        ("/registry/events/long", longer),
        ("/registry/events/moved", longer),
    ]
    with pytest.raises(LeaseExpiredError):
        await store.put("/registry/events/c", b"c", expected=0, lease=lease)
    assert await keys(store, "/registry/events/c") == []


async def test_a_key_that_is_no_text_harms_nobody(store: Store) -> None:
    written, refused = await asyncio.gather(
        store.put("/registry/pods/a", b"1", expected=0),
        store.put("/registry/pods/\ud800", b"1", expected=0),
        return_exceptions=True,
    )
    assert isinstance(refused, UnicodeError)
    assert isinstance(written, TxnResult)
    assert await keys(store, "/registry/pods/") == ["/registry/pods/a"]


class History:
    """What a store must tell, kept in the simplest way there is."""

    def __init__(self) -> None:
        self.changes: list[tuple[int, str, bytes | None]] = []

    def state(self, prefix: str, revision: int) -> dict[str, tuple[bytes, int]]:
        found: dict[str, tuple[bytes, int]] = {}
        for changed, key, value in self.changes:
            if changed <= revision and key.startswith(prefix):
                found.pop(key, None)
                if value is not None:
                    found[key] = (value, changed)
        return dict(sorted(found.items()))


@pytest.mark.parametrize("seed", range(5))
async def test_any_sequence_of_writes_reads_as_it_happened(store: Store, seed: int) -> None:
    chance, history = random.Random(seed), History()
    compacted = first = newest = await store.current_revision()
    for step in range(150):
        key = f"/registry/{chance.choice(['pods', 'nodes'])}/{chance.randrange(5)}"
        current = history.state(key, newest).get(key)
        expected = current[1] if current else 0
        if current and chance.random() < 0.3:
            done, value = await store.delete(key, expected=expected), None
        else:
            value = b"%d" % step
            done = await store.put(key, value, expected=expected, relaxed=chance.random() < 0.3)
        assert done.succeeded
        newest = done.revision
        history.changes.append((newest, key, value))
        if chance.random() < 0.03 and newest > compacted:
            compacted = chance.randrange(max(compacted, first) + 1, newest + 1)
            await store.compact(compacted)
        prefix, then = chance.choice(["/registry/", "/registry/pods/"]), chance.randrange(compacted, newest + 1)
        found = await store.range(prefix, revision=then)
        assert {item.key: (item.value, item.mod_revision) for item in found.items} == history.state(prefix, then)
    since = [change for change in history.changes if change[0] > compacted]
    events = await watched(store, "/registry/", start=compacted + 1, count=len(since)) if since else []
    assert [(event.revision, event.key, event.value if event.type == "put" else None) for event in events] == since
    for event in events:
        before = history.state("/registry/", event.revision - 1).get(event.key)
        assert (event.previous and (event.previous.value, event.previous.mod_revision)) == before


async def test_a_writer_that_gives_up_harms_nobody(store: Store) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await store.put("/registry/pods/a", b"1", expected=0)
    assert await put(store, "/registry/pods/b") == await store.current_revision()


async def test_a_closed_store_says_so(store: Store) -> None:
    start = await put(store, "/registry/pods/a")

    async def follow() -> None:
        async with store.watch("/registry/pods/", start=start) as batches:
            async for _ in batches:
                await store.close()

    with pytest.raises(StoreUnavailableError):
        async with asyncio.timeout(10):
            await follow()
    with pytest.raises(StoreUnavailableError):
        await store.range("/registry/pods/")
    with pytest.raises(StoreUnavailableError):
        await store.put("/registry/pods/b", b"", expected=0)
    await store.close()
