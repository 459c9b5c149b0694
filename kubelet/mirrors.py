"""Keeps the API's mirrors of static pods as they are to be, one pass after the other, woken by either side."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta

from kubelet import podspec
from kubelet.context import PodContext
from kubelet.staticpods import mirror_of, plan_mirrors
from machinery.api.errors import AlreadyExists, Conflict, NotFound
from machinery.api.resource import Object
from machinery.api.resources import NODES, PODS
from machinery.contain import contain

_RETRY = timedelta(seconds=5).total_seconds()


class Mirrors:
    def __init__(self, context: PodContext, statics: Callable[[], Sequence[Object]]) -> None:
        self._context, self._statics = context, statics
        self._wake = asyncio.Event()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            self._wake.clear()
            is_done = False
            with contain("mirror pods"):
                is_done = await self._pass()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if is_done else _RETRY):
                    await self._wake.wait()

    async def _pass(self) -> bool:
        """Whether all mirrors are there."""
        context = self._context
        plan = plan_mirrors(self._statics(), context.pods_here())
        for mirror in plan.delete:
            with contextlib.suppress(NotFound, Conflict):
                await context.client.delete(
                    PODS,
                    podspec.name(mirror),
                    podspec.namespace(mirror),
                    uid=podspec.uid(mirror),
                    grace_period_seconds=0,
                )
        if not plan.create:
            return True
        node = context.cache.get(NODES, "", context.config.node_name)
        if node is None:
            return False
        for pod in plan.create:
            with contextlib.suppress(AlreadyExists):
                await context.client.create(PODS, mirror_of(pod, node), podspec.namespace(pod))
        return True
