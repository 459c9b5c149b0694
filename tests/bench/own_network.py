"""Measures in a process and a network namespace of its own: the machine's own network is left alone."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


async def figures(module: str) -> dict[str, Any]:
    """What the module's program prints in its last line, as JSON."""
    child = await asyncio.create_subprocess_exec(
        "unshare", "--net", sys.executable, "-m", module, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await child.communicate()
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found
