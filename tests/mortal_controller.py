"""A controller that dies between any two of its actions, on a real API server: what every plan must stand.

Usage, with Hypothesis drawing when it dies and in what order the world moves:

    with served() as house:
        house.run(example(house, data))          # `example` is a coroutine function; one server serves all examples

    controller = Mortal(house.server, STATEFUL_SET)
    await controller.look(key, dies_after=2)  # a process performs two actions of its pass and is gone
    await controller.look(key, meanwhile=(1, a_move))  # the world moves between the first and the second action
    await controller.at_rest(key, play_kubelet)  # nobody dies any more, and all must come to rest

A pass of a new process knows what is stored and nothing else, so a plan that leans on an earlier pass fails here. The
order of events is free: a test may call `look` before or after any move of the world, or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest

from apiserver.server import ApiServer
from controllers.plan import Controller, Key
from controllers.runner import Runner
from machinery.api import names
from machinery.api.resource import Object, Resource
from machinery.api.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS
from machinery.client.cache import Change
from machinery.client.client import Client
from machinery.client.clock import SystemClock
from tests.contract.apiserver_running import running
from tests.watched_store import SetClock

T = TypeVar("T")
Move = Callable[[], Awaitable[object]]
ADMIN = ("system:admin", ("system:masters",))
_MOST_ROUNDS = 500


class Died(BaseException):
    """The process is gone; nothing of it may catch that."""


class House:
    """One API server for many examples, each a coroutine that is run to its end."""

    def __init__(self, runner: asyncio.Runner, server: ApiServer) -> None:
        self._runner = runner
        self.server = server
        self._namespaces = 0

    def run(self, example: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(example)

    @property
    def client(self) -> Client:
        """An administrator's."""
        return self.server.client(*ADMIN)

    async def namespace(self) -> str:
        """A new one, in which pods may be made."""
        self._namespaces += 1
        name = f"example-{self._namespaces}"
        await self.client.create(NAMESPACES, {"metadata": {"name": name}})
        await self.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, name)
        return name


class _Still(SystemClock):
    """One moment for all that is made, so that an example does the same each time that it is tried."""

    def __init__(self) -> None:
        super().__init__()
        self._now = datetime.now(UTC)

    def now(self) -> datetime:
        return self._now


@contextmanager
def served() -> Iterator[House]:
    numbers = count()
    with (
        pytest.MonkeyPatch.context() as patch,
        asyncio.Runner() as runner,
        TemporaryDirectory() as directory,
    ):
        # Ages and uids decide between pods that are alike in all else.
        patch.setattr(names, "uid", lambda: f"{next(numbers):036d}")
        started: asyncio.Future[ApiServer] = runner.get_loop().create_future()
        stop = asyncio.Event()

        async def serve() -> None:
            async with running(Path(directory), clock=_Still()) as server:
                started.set_result(server)
                await stop.wait()

        async def end() -> None:
            stop.set()
            await serving

        serving = runner.get_loop().create_task(serve())
        server = runner.run(_outcome(started, serving))
        try:
            yield House(runner, server)
        finally:
            runner.run(end())


async def _outcome(started: asyncio.Future[ApiServer], serving: asyncio.Task[None]) -> ApiServer:
    await asyncio.wait((started, serving), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    return started.result()


class Mortal:
    """One controller as a row of short-lived processes. `clock` is what its plans take for now."""

    def __init__(self, server: ApiServer, controller: Controller, clock: SetClock | None = None) -> None:
        self._server = server
        self._controller = controller
        self.clock = clock or SetClock()

    async def look(self, key: Key, dies_after: int | None = None, *, meanwhile: tuple[int, Move] | None = None) -> bool:
        """One pass over `key`; whether it came to its end: it dies before the action that follows `dies_after`.

        `meanwhile` (after how many actions, a move) is what happens in the middle of it.
        """
        client: Any = _Mortal(self._server.controller_client(self._controller.account), dies_after, meanwhile)
        cache: Any = _Deaf(self._server)
        runner = Runner(self._controller, client, cache, self.clock)
        try:
            await runner.reconcile(key)
        except Died:
            return False
        return True

    async def at_rest(self, key: Key, *moves: Move) -> None:
        """Whole passes and `moves` in turn until a round changes nothing, pods either; fails where that never comes."""
        changes: list[Change] = []
        ends = [self._server.cache.subscribe(resource, changes.append) for resource in {*self._controller.wakes, PODS}]
        try:
            for _ in range(_MOST_ROUNDS):
                changes.clear()
                await self.look(key)
                for move in moves:
                    await move()
                if not changes:
                    return
        finally:
            for end in ends:
                end()
        raise AssertionError(f"no rest after {_MOST_ROUNDS} rounds, lastly by {changes[-1]}")


class _Mortal:
    """A client that performs so many writes and dies before the next; in the middle of them the world moves."""

    def __init__(self, client: Client, writes: int | None, meanwhile: tuple[int, Move] | None) -> None:
        self._client = client
        self._left = writes
        self._meanwhile = meanwhile
        self._done = 0

    def __getattr__(self, name: str) -> Any:
        act = getattr(self._client, name)
        return partial(self._write, act) if name in ("create", "update", "patch", "delete") else act

    async def _write(self, act: Callable[..., Awaitable[Object]], *args: Any, **options: Any) -> Object:
        if self._left is not None:
            if self._left == 0:
                raise Died
            self._left -= 1
        if self._meanwhile is not None and self._done == self._meanwhile[0]:
            move, self._meanwhile = self._meanwhile[1], None
            await move()
        self._done += 1
        return await act(*args, **options)


class _Deaf:
    """The server's cache for a process that lives for one pass: nothing wakes it."""

    def __init__(self, server: ApiServer) -> None:
        self._cache = server.cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def subscribe(self, resource: Resource, handler: Callable[[Change], None]) -> Callable[[], None]:
        return lambda: None
