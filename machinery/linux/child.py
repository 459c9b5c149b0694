"""Child processes of a process with threads and gRPC: made by vfork and exec alone, awaited by pidfd.

asyncio's own `create_subprocess_exec` forks under uvloop, and what libraries hang on a fork (gRPC does) then kills the
child before it is the program, now and then and without a word. `subprocess` uses vfork, which runs no such handler.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from machinery.structs import Struct

CHUNK = 1 << 16
_GRACE = 2.0


class Output(Struct, frozen=True):
    """How a program ended; `status` is negative where a signal ended it."""

    status: int
    stdout: bytes
    stderr: bytes


async def run(
    *command: str,
    stdin: int = subprocess.DEVNULL,
    seconds: float = 0,
    longest: int = 16 << 20,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    before_kill: Callable[[], bool] | None = None,
) -> Output:
    """Runs the program to its end; raises TimeoutError after `seconds` (0: never), the program killed.

    `before_kill` says whether it will end by itself then, and gets it a moment. Output beyond `longest` is dropped.
    What is left open by a grandchild is not waited for.
    """
    process = await spawn(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        directory=directory,
        environment=environment,
    )
    assert process.stdout is not None and process.stderr is not None
    stdout, stderr = _Drain(process.stdout.fileno(), longest), _Drain(process.stderr.fileno(), longest)
    try:
        async with asyncio.timeout(seconds or None):
            await ended(process.pid)
    except (TimeoutError, asyncio.CancelledError):
        if before_kill is not None and before_kill():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await ended(process.pid)
        process.kill()
        raise
    finally:
        found = stdout.finish(), stderr.finish()
        # The process has ended or is being killed, so this reaps it at once.
        process.wait()
        process.stdout.close()
        process.stderr.close()
    return Output(process.returncode, *found)


async def spawn(
    command: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    own_session: bool = False,
) -> subprocess.Popen[bytes]:
    """A started child; exec happens in a thread, as it waits for the disk."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            cwd=directory,
            env=_inherited() if environment is None else environment,
            start_new_session=own_session,
        )

    return await asyncio.to_thread(start)


async def ended(pid: int) -> None:
    """Returns when the process has ended, or is no more."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    loop.add_reader(descriptor, done.set)
    try:
        await done.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


class _Drain:
    """Reads a pipe as it fills, so that the writer never waits for us."""

    def __init__(self, descriptor: int, longest: int) -> None:
        self._descriptor, self._longest = descriptor, longest
        self._data = bytearray()
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> bool:
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._data += chunk[: self._longest - len(self._data)]
        return bool(chunk)

    def finish(self) -> bytes:
        """All that the pipe holds by now."""
        while self._read():
            pass
        asyncio.get_running_loop().remove_reader(self._descriptor)
        return bytes(self._data)


def _inherited() -> dict[str, str]:
    """Our environment but for systemd's socket: runc would take it as meant for the container (sd_notify(3))."""
    return {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
