"""Containers through runc and conmon: conmon holds their output and exit code, and outlives this process.

conmon(8) tells the result of `runc create` through a pipe (_OCI_SYNCPIPE), writes the CRI log, and leaves a file with
the exit code when the container ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from machinery.linux import cgroup, child, processes
from machinery.linux.child import Output
from machinery.linux.inotify import appears
from runtime.config import RuntimeConfig, program
from runtime.errors import Unknown
from runtime.sandbox import runc_state

_REOPEN = b"2 0 0\n"
_LONGEST = 1000
_LOOKS_EVERY, _LOOKS = 1.0, 5


class Conmon:
    """Runs containers from bundles; ids are runc's."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._config = config
        self._runc = program("runc")
        self._conmon = program("conmon")

    def pid_file(self, container_id: str) -> Path:
        return self._config.bundles / container_id / "pid"

    def own_pid(self, container_id: str) -> int:
        """The pid of the conmon that holds the container; 0 where none was started."""
        try:
            return int((self._config.bundles / container_id / "conmon.pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    async def end(self, container_id: str) -> None:
        """Kills conmon, and a runc that it may have running; returns when they have ended."""
        # The bundle is a word of both command lines, and of none that is inside of the container.
        pids = await asyncio.to_thread(processes.with_word, str(self._config.bundles / container_id))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            await child.ended(pid)

    def exit_file(self, container_id: str) -> Path:
        return self._config.exits / container_id

    async def create(
        self, container_id: str, bundle: Path, log: Path, *, tty: bool, stdin: bool, stdin_once: bool
    ) -> int:
        """The pid of the created container's first process; raises Unknown in runc's words."""
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
        command += [] if stdin_once else ["--leave-stdin-open"]
        answer = await self._answer(command, bundle, container_id)
        pid = int(str(answer.get("data", answer.get("pid", -1))))
        if pid <= 0:
            told = answer.get("message") or await asyncio.to_thread(self.last_words, container_id)
            raise Unknown(_words(str(told or "conmon ended without a word")))
        return pid

    def last_words(self, container_id: str) -> str:
        """What conmon wrote on its standard error at last; empty where it wrote nothing. Blocks."""
        try:
            said = self._errors(container_id).read_bytes()[-_LONGEST:].decode(errors="replace")
        except FileNotFoundError:
            return ""
        return " ".join(said.split())

    def _errors(self, container_id: str) -> Path:
        return self._config.bundles / container_id / "conmon.log"

    async def _answer(self, command: Sequence[str], bundle: Path, container_id: str) -> dict[str, object]:
        """What conmon says of the container, once it is created or was refused."""
        # A file, as it outlives this process, which a pipe would not.
        said = os.open(self._errors(container_id), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        reader, writer = os.pipe()
        gate, opener = os.pipe()
        environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "_OCI_SYNCPIPE": str(writer),
            "_OCI_STARTPIPE": str(gate),
        }
        try:
            process = await child.spawn(
                command,
                stderr=said,
                pass_fds=(writer, gate),
                directory=bundle,
                environment=environment,
                own_session=True,
            )
            # conmon waits at the gate, so that it and what it starts are in a cgroup of their own from the beginning.
            await asyncio.to_thread(cgroup.enter, self._config.conmon_cgroup, process.pid)
        finally:
            for descriptor in (said, writer, gate):
                os.close(descriptor)
            with contextlib.suppress(BrokenPipeError):
                os.write(opener, b"\0")
            os.close(opener)
            answer = await _told(reader, _Left(lambda: self.own_pid(container_id)).look)
        await child.ended(process.pid)
        process.wait()
        return answer

    async def start(self, container_id: str, pid: int) -> None:
        if await asyncio.to_thread(runc_state.let_go, self._state(container_id), pid):
            return
        done = await self.runc("start", container_id)
        if done.status:
            raise Unknown(_words(done.stderr.decode(errors="replace")))

    async def kill(self, container_id: str, signal: str, *, everyone: bool = False) -> None:
        """Signals the container; one that has ended already is fine."""
        await self.runc("kill", *(["--all"] if everyone else []), container_id, signal)

    async def stop(self, container_id: str, pid: int, signal: str) -> None:
        """Sends the stop signal to the first process; one that has ended already is fine."""
        if not await asyncio.to_thread(runc_state.signal_first, container_id, pid, signal):
            await self.kill(container_id, signal)

    async def delete(self, container_id: str, cgroup_path: str) -> None:
        """Removes runc's state and the cgroup, killing what is left."""
        if not await asyncio.to_thread(runc_state.forget, self._state(container_id), cgroup_path):
            await self.runc("delete", "--force", container_id)

    def _state(self, container_id: str) -> Path:
        return self._config.runc_root / container_id

    async def execute(self, container_id: str, command: Sequence[str], seconds: int) -> Output:
        """Runs a command in the container to its end; raises TimeoutError after `seconds` (0: never), it killed."""
        exec_id = uuid.uuid4().hex + uuid.uuid4().hex
        pid_file = self._config.bundles / container_id / f"exec-{exec_id}"

        def kill() -> bool:
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(pid_file.read_text()), signal.SIGKILL)
                pid_file.unlink()
                return True
            return False

        line = self.command("exec", "--pid-file", str(pid_file), container_id, *command)
        try:
            # runc reaps the command and ends with it; killed first, it would leave that to the host's first process.
            done = await child.run(*line, seconds=seconds, before_kill=kill)
        except (TimeoutError, asyncio.CancelledError):
            kill()  # where runc had just begun it
            raise
        finally:
            started = pid_file.exists()
            pid_file.unlink(missing_ok=True)
        if done.status and not started:
            words = runc_message(done.stderr.decode(errors="replace"))
            about = f'failed to exec in container: failed to start exec "{exec_id}"'
            raise Unknown(f"{about}: OCI runtime exec failed: {words}: unknown")
        return done

    async def state(self, container_id: str) -> str:
        """runc's word: created, running, stopped; empty where it knows no such container."""
        done = await self.runc("state", container_id)
        return "" if done.status else str(json.loads(done.stdout)["status"])

    async def reopen_log(self, container_id: str, log: Path) -> None:
        """Asks by conmon's control pipe; raises Unknown if no new file appears."""
        control = self._config.bundles / container_id / "ctl"

        def ask() -> None:
            # Without a reader (conmon is gone) the open fails instead of waiting.
            descriptor = os.open(control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(descriptor, _REOPEN)
            finally:
                os.close(descriptor)

        try:
            if not await asyncio.to_thread(appears, log, ask, 10.0):
                raise Unknown(f"conmon did not reopen {log}")
        except OSError as error:
            raise Unknown(f"failed to reopen the log: {error}") from error

    async def update(self, container_id: str, resources: dict[str, object]) -> None:
        """Changes the limits of a running container; raises Unknown in runc's words."""
        path = self._config.bundles / container_id / f"update-{uuid.uuid4().hex}"
        await asyncio.to_thread(path.write_text, json.dumps(resources))
        try:
            done = await self.runc("update", "--resources", str(path), container_id)
        finally:
            path.unlink(missing_ok=True)
        if done.status:
            raise Unknown(f"failed to update resources: {runc_message(done.stderr.decode(errors='replace'))}")

    async def runc(self, *arguments: str) -> Output:
        return await child.run(*self.command(*arguments))

    def command(self, *arguments: str) -> list[str]:
        """runc's command line."""
        return [self._runc, f"--root={self._config.runc_root}", *arguments]


class _Left:
    """The first process of a container whose `runc create` was killed, and which waits to be let go.

    conmon reads what that says to its end before it tells of the failure, and the end would never come.
    """

    def __init__(self, conmon: Callable[[], int]) -> None:
        self._conmon = conmon
        self._looks = 0

    async def look(self) -> None:
        """Kills it when it is still alone: of a runc that ended well conmon tells within milliseconds."""
        conmon = self._conmon()
        living = await asyncio.to_thread(processes.children, conmon) if conmon else {}
        is_alone = bool(living) and all(words[1:] == ["init", ""] for words in living.values())
        self._looks = self._looks + 1 if is_alone else 0
        if self._looks == _LOOKS:
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


async def _told(descriptor: int, look: Callable[[], Awaitable[None]]) -> dict[str, object]:
    """The JSON object that conmon writes in a line; empty where it ended without. Takes the descriptor over.

    No thread waits for it: runc takes its time, and with some containers at once all threads would. Looks each second.
    """
    loop, ready, data = asyncio.get_running_loop(), asyncio.Event(), bytearray()
    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, ready.set)
    try:
        while b"\n" not in data:
            try:
                async with asyncio.timeout(_LOOKS_EVERY):
                    await ready.wait()
            except TimeoutError:
                await look()
                continue
            ready.clear()
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                break
            data += chunk
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    try:
        found: dict[str, object] = json.loads(data)
    except ValueError:
        return {}
    return found


def runc_message(said: str) -> str:
    """runc's own words out of its log lines: the last error, as warnings of what it tried before come first."""
    found = re.findall(r'level=(\w+) msg="((?:[^"\\]|\\.)*)"', said)
    errors = [words for level, words in found if level in ("error", "fatal")] or [words for _, words in found]
    return re.sub(r"\\(.)", r"\1", errors[-1]) if errors else said.strip()


def _words(said: str) -> str:
    """As containerd passes runc's words on."""
    message = runc_message(said).removeprefix("container_linux.go")
    return (
        f"failed to create containerd task: failed to create shim task: OCI runtime create failed: {message}: unknown"
    )
