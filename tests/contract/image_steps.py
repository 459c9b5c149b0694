"""Does what images live through in processes that may be killed on the way: for the contract tests of their store.

A line of JSON on the standard input asks for a step, a line on the standard output says what became of it. Each step is
a process of its own, forked from this one, which has all modules loaded already and does nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import runtime.images.layer_stream
import runtime.images.transport  # noqa: F401 - loaded once, for all
from runtime.errors import RuntimeFault
from runtime.images.service import ImageService
from runtime.snapshots.overlay import OverlaySnapshotter
from tests.fault_points import FaultPoints

NAME = "docker.io/library/a:1"
Step = Callable[[ImageService, Mapping[str, Any]], Awaitable[Any]]


async def pull(images: ImageService, asked: Mapping[str, Any]) -> None:
    await images.pull(asked["reference"])


async def load(images: ImageService, asked: Mapping[str, Any]) -> None:
    await images.import_archive(Path(asked["archive"]))


async def remove(images: ImageService, asked: Mapping[str, Any]) -> None:
    await images.remove(asked["reference"])


STEPS: Mapping[str, tuple[Step, ...]] = {"pull": (pull,), "import": (load,), "remove": (pull, remove)}
"""What is to be done, and before it what has been."""


def open_images(root: Path) -> ImageService:
    return ImageService(root, OverlaySnapshotter(root / "snapshots"), {})


async def take(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The points that were passed, and the error that the step ended with; after one it is tried once more."""
    root = Path(asked["root"])
    points = FaultPoints({str(root): "ROOT"})
    images = open_images(root)
    *before, step = STEPS[asked["step"]]
    for each in before:
        await each(images, asked)
    points.begin(asked["command"], asked["point"])
    try:
        await step(images, asked)
    except (OSError, RuntimeFault) as error:
        told, names = str(getattr(error, "message", error)), points.names
        points.begin("names")
        await step(images, asked)
        return {"error": told, "names": names}
    return {"error": "", "names": points.names}


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            print(json.dumps(asyncio.run(take(json.loads(line)))), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if code := os.waitstatus_to_exitcode(status):
            print(json.dumps({"ended": code}), flush=True)


if __name__ == "__main__":
    main()
