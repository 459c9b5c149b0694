"""Starts the runtime's server again and again, each time killed one side effect further: for the contract tests.

A list of fault points as JSON, those that do not kill, comes by the standard input; where the starts were killed is
told on the standard output, once one has come to its end and was killed, too. Each start is a process forked
from this one, which has all modules loaded already and does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import grpc.aio  # noqa: F401 - loaded once, for all
import inotify_simple  # noqa: F401
import pyroute2  # noqa: F401
import uvloop

from runtime.config import RuntimeConfig
from runtime.server import serve
from tests.contract.cri_serving import config
from tests.fault_points import FaultPoints


def killed_at(settings: RuntimeConfig, known: list[str]) -> str:
    """The fault point at which a start was killed, the first that is not known; empty where it came to its end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, sys.stdout.fileno())
        points = FaultPoints({str(settings.root): "ROOT", str(settings.run): "RUN"})
        points.begin("kill-next", json.dumps(known))
        uvloop.run(start(settings))
    os.close(writing)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    with open(reading) as told:
        return "".join(json.loads(told.read() or "[]"))


async def start(settings: RuntimeConfig) -> None:
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(settings, ready=ready))
        await ready.wait()
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    settings, known = config(*sys.argv[1:]), json.loads(sys.stdin.readline())
    found: list[str] = []
    while name := killed_at(settings, [*known, *found]):
        found.append(name)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
