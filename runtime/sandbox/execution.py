"""A command in a running container with its streams open: `runc exec` in between, by pipes or on a terminal.

runc writes the pid file once the command runs; before that whatever it says is why the command could not be started.
It stays until the command has ended and passes signals and the exit code on. A client that leaves closes the streams,
no more: a command that reads or writes notices, any other runs to its end, as on every node.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import termios
import tty
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machinery.linux import child
from machinery.linux.descriptor import Descriptor
from machinery.structs import Struct
from runtime.errors import Unknown
from runtime.sandbox.conmon import Conmon, runc_message

_LONGEST = 1 << 16
_PIPE = 1 << 20


class Wanted(Struct, frozen=True):
    """Which streams the client uses; a terminal has one for all output."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class Execution:
    """A started command; `stdin`, `stdout` and `stderr` are there where they were wanted."""

    def __init__(self, process: subprocess.Popen[bytes], ends: _Ends) -> None:
        self._process, self._ends = process, ends
        self.stdin, self.stdout, self.stderr = ends.stdin, ends.stdout, ends.stderr
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.was_started = False
        self._held: int | None = None

    async def code(self) -> int:
        """The command's exit code once it has ended; 128 and the signal where one ended it."""
        return await asyncio.shield(self.ended)

    def close_stdin(self) -> None:
        """The command reads the end of its input; a terminal has none."""
        if self.stdin is not None and self._ends.terminal is None:
            self.stdin.close()

    def resize(self, width: int, height: int) -> None:
        terminal = self._ends.terminal
        if terminal is not None and not terminal.is_closed:
            fcntl.ioctl(terminal.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
            # It is not runc's controlling terminal, so nobody else tells runc, which passes the new size on.
            self._signal(signal.SIGWINCH)

    def leave(self) -> None:
        """Closes the streams; what runs on a terminal is told that it was hung up."""
        if self._ends.terminal is not None:
            self._signal(signal.SIGHUP)
        self._ends.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def hold_input(self, pid_file: Path) -> None:
        """Keeps a reader of the command's input beside the command's own, where that is a pipe. Blocks.

        runc passes every signal on to the command, also the SIGPIPE that it gets itself when it writes what the command
        no longer reads; as long as anybody could read it, there is none.
        """
        with contextlib.suppress(OSError):
            path = f"/proc/{int(pid_file.read_text())}/fd/0"
            if os.readlink(path).startswith("pipe:"):
                self._held = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended.done():
            self._process.send_signal(number)

    async def reap(self, pid_file: Path) -> None:
        """Returns when the command has ended; must be run for each, whatever becomes of the client."""
        await child.ended(self._process.pid)
        status = self._process.wait()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(pid_file)
            self.was_started = True
        self.ended.set_result(status if status >= 0 else 128 - status)


class _Ends:
    """Our ends of the command's streams, and those that runc gets."""

    def __init__(self, wanted: Wanted) -> None:
        self.stdin: Descriptor | None = None
        self.stdout: Descriptor | None = None
        self.stderr: Descriptor | None = None
        self.terminal: Descriptor | None = None
        self.given: list[int] = []
        self._ours: list[Descriptor] = []
        self.words = self._pipe_out()
        """What runc itself has to say; also the command's stderr where there is no terminal."""
        words = self.given[-1]
        self.theirs = [subprocess.DEVNULL, subprocess.DEVNULL, words]
        if wanted.tty:
            self._open_terminal(wanted)
            return
        if wanted.stdin:
            reader, writer = os.pipe()
            self.given.append(reader)
            self.stdin, self.theirs[0] = self._keep(writer), reader
        if wanted.stdout:
            self.stdout = self._pipe_out()
            self.theirs[1] = self.given[-1]
        self.stderr = self.words if wanted.stderr else None

    def _open_terminal(self, wanted: Wanted) -> None:
        ours, theirs = os.openpty()
        # runc's side is the one in between: the container's own terminal does echo and line editing.
        tty.setraw(theirs)
        self.given.append(theirs)
        self.terminal = self._keep(ours)
        self.theirs[:2] = [theirs, theirs]
        self.stdin = self.terminal if wanted.stdin else None
        self.stdout = self.terminal if wanted.stdout else None

    def _pipe_out(self) -> Descriptor:
        reader, writer = os.pipe()
        with contextlib.suppress(OSError):
            # Fewer and larger reads; a machine may allow less.
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE)
        self.given.append(writer)
        return self._keep(reader)

    def _keep(self, number: int) -> Descriptor:
        self._ours.append(Descriptor(number))
        return self._ours[-1]

    def close_given(self) -> None:
        while self.given:
            os.close(self.given.pop())

    def close(self) -> None:
        for each in self._ours:
            each.close()


async def open_execution(
    conmon: Conmon, container_id: str, folder: Path, command: Sequence[str], wanted: Wanted, group: asyncio.TaskGroup
) -> Execution:
    """The started command, awaited in `group`; raises Unknown in runc's words where it can't be started."""
    exec_id = uuid.uuid4().hex + uuid.uuid4().hex
    pid_file = folder / f"exec-{exec_id}"
    options = ["--tty", "--env", "TERM=xterm"] if wanted.tty else []
    line = conmon.command("exec", *options, "--pid-file", str(pid_file), container_id, *command)
    ends = _Ends(wanted)
    try:
        with _appearance(pid_file) as started:
            stdin, stdout, stderr = ends.theirs
            process = await child.spawn(line, stdin=stdin, stdout=stdout, stderr=stderr)
            ends.close_given()
            execution = Execution(process, ends)
            group.create_task(execution.reap(pid_file))
            first: list[asyncio.Future[Any]] = [started, execution.ended]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if started.done() or execution.was_started:
            if wanted.stdin and not wanted.tty:
                await asyncio.to_thread(execution.hold_input, pid_file)
            if not wanted.stderr and not wanted.tty:
                group.create_task(_drain(ends.words))
            return execution
        said = runc_message((await _drain(ends.words)).decode(errors="replace"))
        raise Unknown(
            f'failed to exec in container: failed to start exec "{exec_id}": OCI runtime exec failed: {said}: unknown'
        )
    except (Unknown, OSError, asyncio.CancelledError):
        ends.close_given()
        ends.close()
        raise


@contextmanager
def _appearance(path: Path) -> Iterator[asyncio.Future[None]]:
    """Done once the file is there."""
    from inotify_simple import INotify, flags

    loop = asyncio.get_running_loop()
    appeared: asyncio.Future[None] = loop.create_future()
    with INotify() as watch:
        watch.add_watch(path.parent, flags.CREATE | flags.MOVED_TO)

        def look() -> None:
            if any(event.name == path.name for event in watch.read(timeout=0)) and not appeared.done():
                appeared.set_result(None)

        loop.add_reader(watch.fileno(), look)
        try:
            yield appeared
        finally:
            loop.remove_reader(watch.fileno())


async def _drain(descriptor: Descriptor) -> bytes:
    """Takes all that comes, and gives the beginning of it."""
    said = b""
    while data := await descriptor.read():
        said += data[: _LONGEST - len(said)]
    return said
