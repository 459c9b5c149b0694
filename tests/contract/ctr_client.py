"""The real `ctr` (Debian's containerd package) on a runtime's socket."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ctr:
    """Runs `ctr` in one namespace; fails the test where it fails, unless told that it may."""

    socket: Path
    namespace: str = "k8s.io"

    def argv(self, *arguments: str) -> list[str]:
        program = shutil.which("ctr")
        if program is None:
            pytest.fail("ctr is missing: apt-get install containerd (its daemon need not run)")
        return [program, "--address", str(self.socket), "--namespace", self.namespace, *arguments]

    async def __call__(self, *arguments: str) -> str:
        """What it prints."""
        status, said = await self.ended(*arguments)
        assert status == 0, f"ctr {arguments}: {said}"
        return said

    async def refused(self, *arguments: str) -> str:
        """What it says when it fails."""
        status, said = await self.ended(*arguments)
        assert status != 0, f"ctr {arguments} should have failed: {said}"
        return said

    async def ended(self, *arguments: str) -> tuple[int, str]:
        child = await asyncio.create_subprocess_exec(
            *self.argv(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await child.communicate()
        assert child.returncode is not None
        return child.returncode, said.decode()

    async def rows(self, *arguments: str) -> list[list[str]]:
        """The lines below the heading, as words."""
        return [line.split() for line in (await self(*arguments)).splitlines()[1:]]

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
        """Its output while it runs; ended at the end."""
        child = await asyncio.create_subprocess_exec(*self.argv(*arguments), stdout=subprocess.PIPE)
        assert child.stdout
        try:
            yield child.stdout
        finally:
            child.kill()
            await child.communicate()
