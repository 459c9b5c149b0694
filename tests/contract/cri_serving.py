"""Serves CRI until it is killed: the process that the contract tests of the runtime start, kill and start again."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from runtime.config import RuntimeConfig
from runtime.server import serve
from tests.fault_points import FaultPoints


def config(directory: str, instance: str, *cidrs: str) -> RuntimeConfig:
    """An instance of its own below `directory`; sockets' paths must stay short, so they lie in /run.

    A CNI configuration in the folder `cni` replaces the built-in network.
    """
    run = Path(f"/run/minikube-py-test-{instance}")
    return RuntimeConfig(
        root=Path(directory) / "runtime",
        run=run,
        socket=run / "cri.sock",
        instance=instance,
        pod_cidrs=cidrs,
        bridge=f"mk-{instance}",
        cni=Path(directory) / "cni",
    )


async def main(settings: RuntimeConfig) -> None:
    FaultPoints({str(settings.root): "ROOT", str(settings.run): "RUN"}).obey()
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(settings, ready=ready))
        await ready.wait()
        print("ready", flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(config(*sys.argv[1:])))
