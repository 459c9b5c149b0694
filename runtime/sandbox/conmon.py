"""Containers through runc and conmon: conmon holds their output and exit code, and outlives this process.

conmon(8) tells the result of `runc create` through a pipe (_OCI_SYNCPIPE), writes the CRI log, and leaves a file with
the exit code when the container ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.config import RuntimeConfig, program
from runtime.errors import Unknown


@dataclass(frozen=True)
class Output:
    status: int
    stdout: bytes
    stderr: bytes


class Conmon:
    """Runs containers from bundles; ids are runc's."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._config = config
        self._runc = program("runc")
        self._conmon = program("conmon")

    def pid_file(self, container_id: str) -> Path:
        return self._config.bundles / container_id / "pid"

    def exit_file(self, container_id: str) -> Path:
        return self._config.exits / container_id

    async def create(self, container_id: str, bundle: Path, log: Path, *, tty: bool, stdin: bool) -> int:
        """The pid of the created container's first process; raises Unknown in runc's words."""
        reader, writer = os.pipe()
        command = [
            self._conmon,
            *("--api-version", "1"),
            *("--cid", container_id),
            *("--cuuid", container_id),
            *("--runtime", self._runc),
            *("--bundle", str(bundle)),
            *("--container-pidfile", str(self.pid_file(container_id))),
            *("--conmon-pidfile", str(bundle / "conmon.pid")),
            *("--exit-dir", str(self._config.exits)),
            *("--socket-dir-path", str(self._config.sockets)),
            *("--log-path", f"k8s-file:{log}"),
            *("--log-level", "error"),
            *("--name", container_id[:12]),
            *("--runtime-arg", f"--root={self._config.runc_root}"),
        ]
        command += ["--terminal"] if tty else []
        command += ["--stdin"] if stdin else []
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                cwd=bundle,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "_OCI_SYNCPIPE": str(writer)},
                pass_fds=(writer,),
                start_new_session=True,
            )
        finally:
            os.close(writer)
        answer = await _read_line(reader)
        await child.wait()
        pid = int(answer.get("data", answer.get("pid", -1)))
        if pid <= 0:
            raise Unknown(_words(str(answer.get("message", "conmon told nothing"))))
        return pid

    async def start(self, container_id: str) -> None:
        done = await self.runc("start", container_id)
        if done.status:
            raise Unknown(_words(done.stderr.decode(errors="replace")))

    async def kill(self, container_id: str, signal: str, *, everyone: bool = False) -> None:
        """Signals the container; one that has ended already is fine."""
        await self.runc("kill", *(["--all"] if everyone else []), container_id, signal)

    async def delete(self, container_id: str) -> None:
        """Removes runc's state and the cgroup, killing what is left."""
        await self.runc("delete", "--force", container_id)

    async def execute(self, container_id: str, command: Sequence[str], seconds: int) -> Output:
        """Runs a command in the container to its end; raises TimeoutError after `seconds` (0: never)."""
        return await self.runc("exec", container_id, *command, seconds=seconds)

    async def runc(self, *arguments: str, seconds: int = 0) -> Output:
        child = await asyncio.create_subprocess_exec(
            self._runc,
            f"--root={self._config.runc_root}",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(seconds or None):
                stdout, stderr = await child.communicate()
        except (TimeoutError, asyncio.CancelledError):
            child.kill()
            await child.wait()
            raise
        return Output(child.returncode or 0, stdout, stderr)


async def _read_line(descriptor: int) -> dict[str, Any]:
    """The JSON object that conmon writes, without blocking the loop."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor))
    try:
        line = await reader.readline()
    finally:
        transport.close()
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return found


def _words(said: str) -> str:
    """runc's own message out of its log line, as containerd passes it on."""
    found = re.search(r'msg="((?:[^"\\]|\\.)*)"', said)
    message = found[1].encode().decode("unicode_escape") if found else said.strip()
    message = message.removeprefix("container_linux.go")
    return (
        f"failed to create containerd task: failed to create shim task: OCI runtime create failed: {message}: unknown"
    )
