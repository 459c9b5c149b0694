"""Runs every controller, written once: take a key, observe, plan, perform, wait until the cache has seen the writes.

Waiting replaces Kubernetes' expectations: with one ordered store a plan is never made on a state from before its own
writes. A StatusError means that the world moved: back off and look again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from controllers.plan import (
    Action,
    Controller,
    Create,
    Delete,
    Finalize,
    Key,
    Patch,
    Plan,
    Record,
    Update,
    UpdateStatus,
)
from controllers.service_load_balancer import Listening, nothing_listens
from controllers.table import controllers
from machinery.api.errors import AlreadyExists, Conflict, NotFound, StatusError
from machinery.api.resource import Object, Resource
from machinery.api.resources import NAMESPACES
from machinery.client.cache import Cache, Change
from machinery.client.client import Client, PatchType
from machinery.client.clock import Clock
from machinery.client.recorder import EventRecorder
from machinery.client.work_queue import WorkQueue
from machinery.contain import contain
from machinery.features import FEATURES
from machinery.usage import Usages

LOG = logging.getLogger("controllers")
_AT_ONCE = 16
_MOST_ODD = 512


async def run(
    client_for: Callable[[str], Client],
    cache: Cache,
    clock: Clock,
    *,
    root_ca: str,
    usages: Callable[[], Usages] = Usages,
    features: Mapping[str, bool] = FEATURES,
    listening: Listening = nothing_listens,
) -> None:
    """Runs all controllers until cancelled; `client_for` gives a client of a ServiceAccount in kube-system.

    `usages` gives what pods were last seen to use: nothing, where nobody looks. `features` says which are on, and
    `listening` which ports programs of the machine have.
    """
    table = controllers(root_ca, usages, features, listening=listening, awake_since=clock.awake_since)
    await run_each(table, client_for, cache, clock)


async def run_each(
    controllers: Sequence[Controller], client_for: Callable[[str], Client], cache: Cache, clock: Clock
) -> None:
    """Runs these controllers until cancelled."""
    async with asyncio.TaskGroup() as group:
        for controller in controllers:
            runner = Runner(controller, client_for(controller.account), cache, clock)
            for _ in range(controller.concurrency):
                group.create_task(runner.work())


def batches(actions: Sequence[Action]) -> Iterator[Sequence[Action]]:
    """The actions in order, those that may be carried out side by side together.

    These are creations, or deletions, of objects of one resource. Of creations first one is tried, then two, four and
    so on, as upstream does: where a quota forbids a hundred pods, a few attempts tell.
    """
    for kind, alike in groupby(actions, _alike):
        left = list(alike)
        size = _AT_ONCE if kind and kind[0] is Delete else 1
        while left:
            yield left[:size]
            left = left[size:]
            size = min(2 * size, _AT_ONCE) if kind else 1


def _alike(action: Action) -> tuple[type, Resource] | None:
    return (type(action), action.resource) if isinstance(action, Create | Delete) else None


class Runner:
    """One controller's loop; several `work` coroutines may share its queue."""

    def __init__(self, controller: Controller, client: Client, cache: Cache, clock: Clock) -> None:
        self._controller = controller
        self._client = client
        self._cache = cache
        self._clock = clock
        base, most = controller.retries
        self._queue: WorkQueue[Key] = WorkQueue(clock, base_delay=base, max_delay=most)
        self._recorder = EventRecorder(client, controller.component or controller.account)
        self._odd: dict[Key, str] = {}
        for resource, wakes in controller.wakes.items():
            cache.subscribe(resource, self._woken(wakes))

    def _woken(self, wakes: Callable[[Object], Iterable[Key]]) -> Callable[[Change], None]:
        settles, related, cache, queue = self._controller.settles, self._controller.related, self._cache, self._queue

        def on_change(change: Change) -> None:
            """The cache contains what fails in it. Every controller hears of each pod, so most have nothing to do."""
            keys: list[Key] = []
            if change.before is not None:
                keys += wakes(change.before)
            if change.after is not None:
                keys += wakes(change.after)
            if related is not None:
                keys += related(cache, change)
            if keys:
                delay = settles(change) if settles is not None else 0.0
                for key in dict.fromkeys(keys):
                    queue.add_after(key, delay)

        return on_change

    async def work(self) -> None:
        while True:
            key = await self._queue.get()
            outcome = False
            with contain("controller", about=f"{self._controller.name} {key.namespace}/{key.name}") as contained:
                outcome = await self.reconcile(key)
            if contained.error is not None:
                await self._tell_odd(key, contained.error)
            if outcome:
                self._queue.forget(key)
            else:
                self._queue.back_off(key)
            self._queue.done(key)
            # A pass that writes nothing waits for nothing: a thousand of them would hold the loop.
            await asyncio.sleep(0)

    async def _tell_odd(self, key: Key, error: Exception) -> None:
        """Tells by an Event, once for each error, of an object that nothing can be decided on."""
        said = f"The {self._controller.name} controller can't act on it: {type(error).__name__}: {error}"[:1024]
        if self._odd.get(key) == said:
            return
        if len(self._odd) >= _MOST_ODD:
            self._odd.clear()
        self._odd[key] = said
        resource = key.resource or next(iter(self._controller.wakes))
        found = self._cache.get(resource, key.namespace, key.name)
        if found is not None:
            await self._recorder.record(found, "Warning", "FailedReconcile", said)

    async def reconcile(self, key: Key) -> bool:
        """One pass over a key; False where it should be looked at again after a while."""
        state = self._controller.observe(self._cache, key)
        if state is None:
            return True
        plan = self._controller.plan(state, self._clock.now())
        if not await self._carry_out(plan, key):
            return False
        if plan.requeue_after is not None:
            self._queue.add_after(key, plan.requeue_after)
        return True

    async def _carry_out(self, plan: Plan, key: Key) -> bool:
        """Performs all actions, or those before the first batch that fails and what the plan says then."""
        revision = 0
        try:
            for batch in batches(plan.actions):
                outcomes = await self._perform_together(batch)
                revision = max(revision, *(each for each in outcomes if isinstance(each, int)), 0)
                for action, outcome in zip(batch, outcomes, strict=True):
                    if isinstance(outcome, StatusError):
                        LOG.info("%s %s/%s: %s", self._controller.name, key.namespace, key.name, outcome.message)
                        revision = max(revision, await self._tell_failure(plan.on_failure(action, outcome)))
                        return False
                    if isinstance(outcome, BaseException):
                        raise outcome
        finally:
            if revision:
                await self._cache.wait_for(revision)
        return True

    async def _tell_failure(self, actions: Sequence[Action]) -> int:
        revision = 0
        for action in actions:
            (outcome,) = await self._perform_together([action])
            if isinstance(outcome, StatusError):
                LOG.info("%s: %s", self._controller.name, outcome.message)
                return 0
            if isinstance(outcome, BaseException):
                raise outcome
            revision = max(revision, outcome)
        return revision

    async def _perform_together(self, batch: Sequence[Action]) -> Sequence[int | BaseException]:
        """What became of each action; Events of them are written afterwards, in their order."""
        told: list[Record] = []
        outcomes = await asyncio.gather(*(self._perform(action, told) for action in batch), return_exceptions=True)
        for event in told:
            await self._recorder.record(event.obj, event.type, event.reason, event.message)
        return outcomes

    async def _perform(self, action: Action, told: list[Record]) -> int:
        """Carries one action out; the revision that it made, 0 where it made none that matters."""
        match action:
            case Record():
                told.append(action)
                return 0
            case Create():
                return await self._create(action, told)
            case Delete():
                return await self._delete(action, told)
            case Finalize(namespace):
                spec = dict(namespace["spec"])
                spec["finalizers"] = [name for name in spec["finalizers"] if name != "kubernetes"]
                finalized = {**namespace, "spec": spec}
                return _revision(await self._client.update(NAMESPACES, finalized, subresource="finalize"))
            case Update(resource, obj, subresource):
                return _revision(await self._client.update(resource, obj, subresource=subresource))
            case UpdateStatus(resource, obj):
                return _revision(await self._client.update(resource, obj, subresource="status"))
            case Patch():
                return await self._patch(action)

    async def _patch(self, action: Patch) -> int:
        kind = PatchType.STRATEGIC if action.is_strategic else PatchType.MERGE
        name, namespace = action.key.name, action.key.namespace
        try:
            changed = await self._client.patch(
                action.resource, name, action.patch, namespace, patch_type=kind, subresource=action.subresource
            )
        except NotFound:
            return 0
        return _revision(changed)

    async def _create(self, action: Create, told: list[Record]) -> int:
        kind = action.resource.kind.lower()
        try:
            made = await self._client.create(action.resource, action.obj, action.obj["metadata"].get("namespace", ""))
        except AlreadyExists:
            if "name" in action.obj["metadata"] and action.about is None and not action.is_exclusive:
                return 0
            raise
        except StatusError as error:
            if error.is_of_a_namespace_that_ends:
                # No attempt will ever be better, and what wants the object goes too.
                return 0
            if action.about is not None:
                told.append(Record(action.about, "Warning", "FailedCreate", f"Error creating: {error.message}"))
            raise
        if action.about is not None:
            message = f"Created {kind}: {made['metadata']['name']}"
            told.append(Record(action.about, "Normal", "SuccessfulCreate", message))
        if action.success is not None:
            told.append(action.success)
        return _revision(made)

    async def _delete(self, action: Delete, told: list[Record]) -> int:
        try:
            gone = await self._client.delete(
                action.resource,
                action.key.name,
                action.key.namespace,
                uid=action.uid,
                resource_version=action.resource_version,
                grace_period_seconds=action.grace_period_seconds,
                propagation_policy=action.propagation,
            )
        except (NotFound, Conflict):
            return 0
        if action.about is not None:
            message = f"Deleted {action.resource.kind.lower()}: {action.key.name}"
            told.append(Record(action.about, "Normal", "SuccessfulDelete", message))
        if action.success is not None:
            told.append(action.success)
        return _revision(gone)


def _revision(obj: Object) -> int:
    """The revision of an answer; a Status, as of a finished delete, has none."""
    text = (obj.get("metadata") or {}).get("resourceVersion", "")
    return int(text) if text.isdigit() else 0
