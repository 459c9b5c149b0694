"""Clients that start together ask for the same documents together, before any of them is made."""

from __future__ import annotations

import subprocess
import sys

ASKED_AT_ONCE = """
import asyncio
from apiserver.openapi_routes import V2_PROTOBUF, respond
from machinery.client.clock import SystemClock

async def main():
    asked = [("/openapi/v2", V2_PROTOBUF), ("/openapi/v3/apis/apps/v1", "application/json")] * 4
    asking = (respond(path, {}, accept=kind, if_none_match="", clock=SystemClock()) for path, kind in asked)
    answers = await asyncio.gather(*asking)
    assert len({answer.body for answer in answers}) == 2

asyncio.run(main())
"""


def test_documents_that_are_asked_for_at_once_are_made_once() -> None:
    # A process of its own, as here others may have asked before.
    done = subprocess.run([sys.executable, "-c", ASKED_AT_ONCE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
