"""The watch cache: lists, indexes and watches agree with the store at each revision, and what is lost is said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest

from apiserver.cache_bucket import RING, SLOW_WATCHER
from apiserver.cache_view import CacheView
from apiserver.storage.sqlite import SqliteStore
from apiserver.storage.store import StoreUnavailableError
from apiserver.watchcache import CacheEvent, WatchCache
from machinery.api.errors import Expired
from machinery.api.resource import Resource
from machinery.api.resources import CONFIG_MAPS, NODES, PODS, SERVICES
from machinery.client.cache import Cache, Change


class Cluster:
    """A store in memory, a cache that follows it, and the state as the writer knows it."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.cache = WatchCache(store)

    async def put(self, resource: Resource, namespace: str, name: str, **more: object) -> int:
        key = "/".join(part for part in ("/registry", resource.storage_prefix, namespace, name) if part)
        metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("metadata", {})}  # type: ignore[dict-item]
        there = (await self.store.range(key)).items
        expected = there[0].mod_revision if there else 0
        value = orjson.dumps({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata, **more})
        return (await self.store.put(key, value, expected=expected)).revision

    async def delete(self, resource: Resource, namespace: str, name: str) -> int:
        key = "/".join(part for part in ("/registry", resource.storage_prefix, namespace, name) if part)
        (there,) = (await self.store.range(key)).items
        return (await self.store.delete(key, expected=there.mod_revision)).revision

    def names(self, resource: Resource, namespace: str = "", *, revision: int = 0) -> list[str]:
        return [entry.name for entry in self.cache.list(resource, namespace, revision=revision)]


@asynccontextmanager
async def following(cluster: Cluster) -> AsyncIterator[Cluster]:
    await cluster.cache.start()
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(cluster.cache.run())
        yield cluster
        run.cancel()


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(None)
    yield opened
    await opened.close()


@pytest.fixture
async def cluster(store: SqliteStore) -> AsyncIterator[Cluster]:
    async with asyncio.timeout(20), following(Cluster(store)) as started:
        yield started


def told(events: list[CacheEvent]) -> list[tuple[str, str, int]]:
    return [(event.type, event.entry.name, event.revision) for event in events]


async def test_a_start_loads_what_is_there(store: SqliteStore) -> None:
    before = Cluster(store)
    a = await before.put(PODS, "default", "a")
    await before.put(PODS, "default", "b")
    await before.delete(PODS, "default", "b")
    async with following(Cluster(store)) as cluster:
        assert cluster.names(PODS) == ["a"]
        found = cluster.cache.get(PODS, "default", "a")
        assert found is not None
        assert (found.revision, found.create_revision) == (a, a)
        assert cluster.cache.revision == await store.current_revision()


async def test_a_watch_resumes_after_a_restart(store: SqliteStore) -> None:
    before = Cluster(store)
    a = await before.put(PODS, "default", "a")
    b = await before.put(PODS, "default", "b")
    gone = await before.delete(PODS, "default", "a")
    async with following(Cluster(store)) as cluster:
        watcher = cluster.cache.watch(PODS, "", since=a)
        assert told(await watcher.batch()) == [("ADDED", "b", b), ("DELETED", "a", gone)]


async def test_after_compaction_a_restart_says_that_the_past_is_gone(store: SqliteStore) -> None:
    before = Cluster(store)
    a = await before.put(PODS, "default", "a")
    last = await before.put(PODS, "default", "b")
    await store.compact(last)
    async with following(Cluster(store)) as cluster:
        with pytest.raises(Expired, match=rf"too old resource version: {a} \(\d+\)"):
            cluster.cache.watch(PODS, "", since=a)
        assert cluster.names(PODS) == ["a", "b"]


async def test_a_list_is_consistent_and_in_the_order_of_keys(cluster: Cluster) -> None:
    for namespace, name in (("b", "x"), ("a", "y"), ("a-b", "z"), ("a", "x")):
        await cluster.put(PODS, namespace, name)
    await cluster.cache.refresh()
    assert [entry.key.removeprefix("/registry/pods/") for entry in cluster.cache.list(PODS)] == [
        "a-b/z",
        "a/x",
        "a/y",
        "b/x",
    ]
    assert cluster.names(PODS, "a") == ["x", "y"]
    assert cluster.names(PODS, "nowhere") == []
    assert cluster.names(SERVICES) == []


async def test_a_list_at_a_revision_takes_back_what_happened_since(cluster: Cluster) -> None:
    await cluster.put(PODS, "default", "a", metadata={"labels": {"x": "1"}})
    b = await cluster.put(PODS, "default", "b")
    await cluster.put(PODS, "default", "a", metadata={"labels": {"x": "2"}})
    await cluster.delete(PODS, "default", "b")
    await cluster.put(PODS, "default", "c")
    await cluster.cache.refresh()
    assert cluster.names(PODS) == ["a", "c"]
    assert cluster.names(PODS, revision=b) == ["a", "b"]
    assert [entry.labels for entry in cluster.cache.list(PODS, revision=b)] == [{"x": "1"}, {}]
    assert cluster.names(PODS, "default", revision=b) == ["a", "b"]
    assert cluster.names(PODS, "other", revision=b) == []
    with pytest.raises(Expired):
        cluster.cache.list(PODS, revision=0 - 1)


async def test_indexes_follow(cluster: Cluster) -> None:
    await cluster.put(PODS, "default", "a", metadata={"ownerReferences": [{"uid": "u"}], "labels": {"app": "x"}})
    await cluster.put(PODS, "other", "b", spec={"nodeName": "n"}, metadata={"labels": {"app": "y"}})
    await cluster.cache.refresh()
    cache = cluster.cache
    assert [entry.name for entry in cache.labelled(PODS, "app", "x")] == ["a"]
    assert [entry.name for entry in cache.owned_by(PODS, "u")] == ["a"]
    assert [entry.name for entry in cache.orphans(PODS, "default")] == ["a"]
    assert [entry.name for entry in cache.on_node("")] == ["a"]
    assert [entry.name for entry in cache.on_node("n")] == ["b"]
    owner = {"uid": "u", "controller": True}
    await cluster.put(PODS, "default", "c", metadata={"ownerReferences": [owner]})
    await cache.refresh()
    assert [entry.name for entry in cache.orphans(PODS, "default")] == ["a"]
    await cluster.put(PODS, "default", "c")
    await cache.refresh()
    assert [entry.name for entry in cache.orphans(PODS, "default")] == ["a", "c"]
    await cluster.delete(PODS, "default", "c")
    await cluster.put(PODS, "default", "a", spec={"nodeName": "n"}, metadata={"labels": {"app": "y"}})
    await cluster.delete(PODS, "other", "b")
    await cache.refresh()
    assert cache.labelled(PODS, "app", "x") == cache.owned_by(PODS, "u") == cache.on_node("") == []
    assert [entry.name for entry in cache.on_node("n")] == ["a"]
    assert [entry.name for entry in cache.orphans(PODS, "default")] == ["a"]
    assert cache.orphans(PODS, "other") == []
    assert [entry.name for entry in cache.labelled(PODS, "app", "y")] == ["a"]


async def test_a_watcher_gets_its_namespace_in_order(cluster: Cluster) -> None:
    watcher = cluster.cache.watch(PODS, "default", since=cluster.cache.revision)
    a = await cluster.put(PODS, "default", "a")
    await cluster.put(PODS, "other", "b")
    await cluster.put(CONFIG_MAPS, "default", "c")
    a2 = await cluster.put(PODS, "default", "a")
    gone = await cluster.delete(PODS, "default", "a")
    await cluster.cache.refresh()
    assert watcher.revision == 0
    events = await watcher.batch()
    assert told(events) == [("ADDED", "a", a), ("MODIFIED", "a", a2), ("DELETED", "a", gone)]
    assert [event.previous and event.previous.revision for event in events] == [None, a, a2]
    assert events[2].entry.object["metadata"]["resourceVersion"] == str(gone)
    # All of the others' events are behind it too: a bookmark may say so.
    assert watcher.revision == cluster.cache.revision == gone
    assert await watcher.batch(0.001) == []
    assert not watcher.is_ended


async def test_a_watch_may_come_from_a_revision_yet_to_be_seen(cluster: Cluster) -> None:
    since = cluster.cache.revision + 1
    watcher = cluster.cache.watch(PODS, "", since=since)
    await cluster.put(PODS, "default", "a")
    b = await cluster.put(PODS, "default", "b")
    await cluster.cache.refresh()
    assert told(await watcher.batch()) == [("ADDED", "b", b)]


async def test_a_slow_watcher_is_dropped_and_may_resume(cluster: Cluster) -> None:
    since = cluster.cache.revision
    slow = cluster.cache.watch(CONFIG_MAPS, "", since=since)
    for number in range(SLOW_WATCHER + 1):
        last = await cluster.put(CONFIG_MAPS, "default", "a", data={"n": str(number)})
        await cluster.cache.refresh()
    seen = [event async for event in slow]
    assert slow.is_ended
    assert seen[0].revision == since + 1
    assert [event.revision for event in seen] == list(range(since + 1, seen[-1].revision + 1))
    with pytest.raises(Expired):
        cluster.cache.watch(CONFIG_MAPS, "", since=since)
    resumed = cluster.cache.watch(CONFIG_MAPS, "", since=last - RING // 2)
    assert len(await resumed.batch()) == RING // 2


async def test_many_watchers_see_what_the_writers_did(cluster: Cluster) -> None:
    since = cluster.cache.revision

    async def write(writer: int) -> None:
        for number in range(20):
            await cluster.put(PODS, f"n{writer % 2}", f"{writer}-{number % 3}")
            if number % 3 == 2:
                await cluster.delete(PODS, f"n{writer % 2}", f"{writer}-{number % 3}")

    async def follow() -> dict[str, int]:
        state: dict[str, int] = {}
        with cluster.cache.watch(PODS, "", since=since) as watcher:
            async for event in watcher:
                assert (event.type == "ADDED") == (event.entry.key not in state)
                if event.type == "DELETED":
                    del state[event.entry.key]
                else:
                    state[event.entry.key] = event.revision
                if event.entry.name == "end":
                    return state
        return state

    async def finish() -> None:
        await asyncio.gather(*(write(writer) for writer in range(6)))
        await cluster.put(PODS, "default", "end")

    *states, _ = await asyncio.gather(*(follow() for _ in range(5)), finish())
    expected = {item.key: item.mod_revision for item in (await cluster.store.range("/registry/pods/")).items}
    assert states == [expected] * 5
    assert {entry.key: entry.revision for entry in cluster.cache.list(PODS)} == expected


async def test_wait_for_returns_when_the_revision_is_there(cluster: Cluster) -> None:
    waiting = asyncio.gather(*(cluster.cache.wait_for(cluster.cache.revision + step) for step in (2, 1, 2)))
    await cluster.put(PODS, "default", "a")
    await cluster.put(PODS, "default", "b")
    await waiting
    assert cluster.names(PODS) == ["a", "b"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await cluster.cache.wait_for(cluster.cache.revision + 1)
    await cluster.put(PODS, "default", "c")
    await cluster.cache.refresh()


async def test_others_have_their_turn_while_many_changes_are_told_of(cluster: Cluster) -> None:
    turn, told_in = 0, []

    async def take_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def hear(_: CacheEvent) -> None:
        told_in.append(turn)
        ends = time.monotonic() + 0.005
        while time.monotonic() < ends:
            pass

    cluster.cache.subscribe(PODS, hear)
    # The store in memory answers without a turn of the loop, so all of them come at once.
    newest = [await cluster.put(PODS, "default", f"pod-{index}") for index in range(5)][-1]
    async with asyncio.TaskGroup() as tasks:
        others = tasks.create_task(take_turns())
        await cluster.cache.wait_for(newest)
        others.cancel()
    assert len(set(told_in)) == len(told_in) == 5


async def test_an_odd_value_harms_nothing_else(cluster: Cluster) -> None:
    await cluster.store.put("/registry/pods/default/odd", b"\xff no object", expected=0)
    await cluster.put(PODS, "default", "a")
    await cluster.cache.refresh()
    assert cluster.names(PODS) == ["a"]
    aside = cluster.cache.set_aside.get("/registry/pods/default/odd")
    assert aside is not None and "no JSON" in aside.why


async def test_a_gap_in_the_stores_watch_is_closed_by_a_list(store: SqliteStore) -> None:
    cluster = Cluster(store)
    await cluster.put(PODS, "default", "kept")
    await cluster.put(PODS, "default", "gone")
    await cluster.put(PODS, "default", "changed", spec={"x": 1})
    await cluster.cache.start()
    watcher = cluster.cache.watch(PODS, "", since=cluster.cache.revision)
    changes: list[CacheEvent] = []
    end = cluster.cache.subscribe(PODS, changes.append)
    changes.clear()
    # Nobody follows, and what happens is compacted away.
    await cluster.delete(PODS, "default", "gone")
    await cluster.put(PODS, "default", "changed", spec={"x": 2})
    await cluster.put(NODES, "", "new")
    last = await cluster.put(PODS, "default", "new")
    await store.compact(last)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(cluster.cache.run())
        await cluster.cache.wait_for(last)
        run.cancel()
    assert cluster.names(PODS) == ["changed", "kept", "new"]
    assert cluster.names(NODES) == ["new"]
    assert {(event.type, event.entry.name) for event in changes} == {
        ("DELETED", "gone"),
        ("MODIFIED", "changed"),
        ("ADDED", "new"),
    }
    assert [event async for event in watcher] == []
    with pytest.raises(Expired):
        cluster.cache.watch(PODS, "", since=last - 1)
    end()


async def test_the_end_of_the_store_ends_who_waits(store: SqliteStore) -> None:
    cluster = Cluster(store)
    await cluster.cache.start()
    watcher = cluster.cache.watch(PODS, "", since=cluster.cache.revision)
    run = asyncio.gather(cluster.cache.run(), cluster.cache.wait_for(10_000), return_exceptions=True)
    await asyncio.sleep(0)
    await store.close()
    assert [type(error) for error in await run] == [StoreUnavailableError] * 2
    assert [event async for event in watcher] == []
    with pytest.raises(StoreUnavailableError):
        await cluster.cache.wait_for(10_000)


async def test_a_view_hands_out_objects_and_changes(cluster: Cluster) -> None:
    view: Cache = CacheView(cluster.cache)
    await cluster.put(PODS, "default", "a", metadata={"ownerReferences": [{"uid": "u"}]})
    await cluster.cache.refresh()
    changes: list[Change] = []
    end = view.subscribe(PODS, changes.append)
    await cluster.put(PODS, "default", "a", spec={"nodeName": "n"})
    gone = await cluster.delete(PODS, "default", "a")
    await view.wait_for(gone)
    end()
    last = await cluster.put(PODS, "default", "b", spec={"nodeName": "n"})
    await view.wait_for(last)
    assert [(change.before is not None, change.after is not None) for change in changes] == [
        (False, True),
        (True, True),
        (True, False),
    ]
    assert changes[1].before == changes[0].after
    assert changes[2].object["spec"]["nodeName"] == "n"
    found = view.get(PODS, "default", "b")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == str(last)
    assert view.list(PODS) == view.list(PODS, "default") == view.on_node("n") == [found]
    assert view.get(PODS, "default", "a") is None
    assert view.owned_by(PODS, "u") == []
    assert view.revision == last


async def test_a_handler_sees_the_cache_at_its_revision_and_may_fail(cluster: Cluster) -> None:
    seen: list[tuple[int, list[str]]] = []

    def fail(event: CacheEvent) -> None:
        raise ValueError(event)

    def look(event: CacheEvent) -> None:
        seen.append((cluster.cache.revision - event.revision, cluster.names(PODS)))

    cluster.cache.subscribe(PODS, fail)
    cluster.cache.subscribe(PODS, look)
    await asyncio.gather(cluster.put(PODS, "default", "a"), cluster.put(PODS, "default", "b"))
    await cluster.cache.refresh()
    assert seen == [(0, ["a"]), (0, ["a", "b"])]


class Ear:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.revision = 0
        self.is_ended = False

    def take(self, piece: bytes, revision: int) -> None:
        self.pieces.append(piece)
        self.revision = revision

    def end(self) -> None:
        self.is_ended = True

    @property
    def heard(self) -> str:
        return b"".join(self.pieces).decode()


def names(events: Sequence[CacheEvent]) -> bytes:
    return b"".join(b"%s %s;" % (event.type.encode(), event.entry.name.encode()) for event in events)


async def test_listeners_of_the_same_are_handed_the_same_piece(cluster: Cluster) -> None:
    first = await cluster.put(CONFIG_MAPS, "x", "a")
    await cluster.cache.refresh()
    early, late, elsewhere = Ear(), Ear(), Ear()
    cluster.cache.listen(CONFIG_MAPS, "x", first - 1, early, names)
    cluster.cache.listen(CONFIG_MAPS, "x", first, late, names)
    cluster.cache.listen(CONFIG_MAPS, "y", first, elsewhere, names)
    last = await cluster.put(CONFIG_MAPS, "x", "b")
    await cluster.cache.wait_for(last)
    await asyncio.sleep(0)
    assert early.heard == "ADDED a;ADDED b;"
    assert late.heard == "ADDED b;"
    assert early.pieces[-1] is late.pieces[-1]
    assert elsewhere.pieces == []
    assert late.revision == last


async def test_who_joins_hears_nothing_twice_and_who_left_nothing_more(cluster: Cluster) -> None:
    stays, comes, leaves = Ear(), Ear(), Ear()
    since = cluster.cache.revision
    cluster.cache.listen(CONFIG_MAPS, "", since, stays, names)
    left = cluster.cache.listen(CONFIG_MAPS, "", since, leaves, names)
    last = await cluster.put(CONFIG_MAPS, "x", "a")
    left.leave(leaves)
    await cluster.cache.wait_for(last)
    cluster.cache.listen(CONFIG_MAPS, "", since, comes, names)
    last = await cluster.put(CONFIG_MAPS, "x", "b")
    await cluster.cache.wait_for(last)
    await asyncio.sleep(0)
    assert stays.heard == comes.heard == "ADDED a;ADDED b;"
    assert leaves.pieces == []


async def test_listeners_are_told_when_the_past_is_lost(store: SqliteStore) -> None:
    ear = Ear()
    async with following(Cluster(store)) as cluster:
        await cluster.cache.wait_for(await cluster.put(CONFIG_MAPS, "x", "a"))
        cluster.cache.listen(CONFIG_MAPS, "", cluster.cache.revision, ear, names)
        with pytest.raises(Expired):
            cluster.cache.listen(CONFIG_MAPS, "", -1, ear, names)
    assert ear.is_ended
