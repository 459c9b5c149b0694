"""Starts the unpacking child of a layer and reads its answer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import runtime
from machinery.linux import child
from runtime.errors import FailedPrecondition, Internal
from runtime.snapshots.snapshot import Unpacking, Usage


async def unpack_layer(blob: Path, unpacking: Unpacking, diff_id: str) -> Usage:
    """Unpacks the layer in `blob` and verifies it; raises FailedPrecondition with what the child found wrong."""
    order = {
        "directory": str(unpacking.directory),
        "marks": unpacking.marks,
        "lower": [str(path) for path in unpacking.lower],
        "diff_id": diff_id,
    }
    command = (sys.executable, "-m", "runtime.images.unpack", json.dumps(order))
    with open(blob, "rb") as source:  # noqa: ASYNC230 - opening a local file takes microseconds
        done = await child.run(*command, stdin=source.fileno(), directory=Path("/"), environment=_environment())
    return _answer(done.stdout, done.stderr)


def _answer(output: bytes, complaint: bytes) -> Usage:
    try:
        answer = json.loads(output)
    except ValueError:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise Internal(f"unpacking ended without an answer: {last}") from None
    if "error" in answer:
        raise FailedPrecondition(answer["error"])
    return Usage(answer["bytes"], answer["inodes"])


def _environment() -> dict[str, str]:
    # The child finds this package wherever it was imported from, and names files as the layer does, in any locale.
    home = str(Path(next(iter(runtime.__path__))).parent)
    inherited = os.environ.get("PYTHONPATH")
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": f"{home}{os.pathsep}{inherited}" if inherited else home,
        "PYTHONUTF8": "1",
    }
