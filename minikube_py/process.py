"""The cluster's process: lock, loop, signals, and what happens when a component ends.

TERM and INT leave the containers running, USR1 ends them by their grace first. A component that ends is a failure:
under systemd the process ends and is restarted, else it re-executes itself, at most five times in ten minutes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

from minikube_py import memory, systemd
from minikube_py.config import Config
from minikube_py.instance import InstanceError, Lock, State, read_state

RESTARTS, WITHIN = 5, 600.0

ClusterRunner = Callable[[Config, State, asyncio.Future[bool]], Awaitable[None]]


def run(config: Config) -> int:
    """Runs until a signal ends it; the exit status for the shell."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # Children are spawned without running Python in between, so gRPC need not be prepared for a fork.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    lock = Lock.acquire(config)
    before = read_state(config)
    state = State(pid=os.getpid(), started=time.time(), failures=before.failures if before else [])
    state.write(config.state_file)
    # The cluster turns the collector on.
    memory.collect_nothing_yet()
    try:
        _run_loop(config, state)
    except Exception as error:  # noqa: BLE001 - process main: whatever ended a component is told and restarted
        first = _first(error)
        if isinstance(first, InstanceError):
            return _failed(config, state, lock, str(first), again=False)
        logging.getLogger("minikube_py").exception("a component ended")
        return _failed(config, state, lock, f"{type(first).__name__}: {first}", again=True)
    config.state_file.unlink(missing_ok=True)
    lock.release()
    return 0


def _run_loop(config: Config, state: State) -> None:
    from minikube_py import cluster

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_signalled(config, state, cluster.run))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _until_signalled(config: Config, state: State, run_cluster: ClusterRunner) -> None:
    """Runs the cluster; a signal sets `ending`, which the cluster watches."""
    loop = asyncio.get_running_loop()
    ending: asyncio.Future[bool] = loop.create_future()

    def end(*, pods: bool) -> None:
        if not ending.done():
            ending.set_result(pods)

    loop.add_signal_handler(signal.SIGTERM, lambda: end(pods=False))
    loop.add_signal_handler(signal.SIGINT, lambda: end(pods=False))
    loop.add_signal_handler(signal.SIGUSR1, lambda: end(pods=True))
    await run_cluster(config, state, ending)


def _failed(config: Config, state: State, lock: Lock, reason: str, *, again: bool) -> int:
    now = time.time()
    state.phase, state.reason = "failed", reason
    state.failures = [*(at for at in state.failures if now - at < WITHIN), now]
    print(f"minikube-py: {reason}", file=sys.stderr, flush=True)
    retry = again and state.ready_after > 0 and len(state.failures) <= RESTARTS
    if retry and not os.environ.get("NOTIFY_SOCKET"):
        state.phase = "starting"
        state.write(config.state_file)
        lock.release()
        os.execv(sys.executable, [sys.executable, "-m", "minikube_py", *sys.argv[1:]])
    state.write(config.state_file)
    lock.release()
    systemd.notify(f"STATUS={reason}")
    return 1


def _first(error: BaseException) -> BaseException:
    """What went wrong first, out of the groups that TaskGroups make: the store's closing is what others then meet."""
    from apiserver.storage.store import StoreUnavailableError

    found = list(_single(error))
    return next((each for each in found if not isinstance(each, StoreUnavailableError)), found[0])


def _single(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _single(each)
    else:
        yield error
