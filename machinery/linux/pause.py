"""A process that does nothing but be the first of a PID namespace, for containers that share one.

Its children are orphans of the others: it reaps them. It must outlive whoever starts it, so it is a program of its own.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from machinery.linux import cgroup
from machinery.linux.mount import Mount, mount
from machinery.linux.namespaces import in_own_thread

_CLONE_NEWPID = 0x20000000
# It waits at its standard input: whoever dies before it is in its cgroup, where it can be found, leaves none behind.
_PROGRAM = """
import os, signal, sys
os.read(0, 1) or sys.exit(1)
wanted = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
while signal.sigwait(wanted) == signal.SIGCHLD:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
"""


def start(file: Path, cgroup_path: str) -> None:
    """A new PID namespace is pinned on `file`, its first process in the cgroup; raises OSError. Blocks."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()

    def work() -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWPID) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        # The namespace is that of this thread's children.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        assert process.stdin is not None
        with process.stdin:
            cgroup.enter(cgroup_path, process.pid)
            mount(Mount("", f"/proc/{process.pid}/ns/pid", str(file), ("bind",)))
            process.stdin.write(b"\0")
        # It is left to itself; `end` reaps it.
        process.returncode = 0

    in_own_thread(work)


def end(pids: Iterable[int], seconds: float = 5) -> None:
    """Kills the processes and returns when they have ended. Blocks."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            sys.audit("os.kill", pid, int(signal.SIGKILL))
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], seconds)
            os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
        except (ProcessLookupError, ChildProcessError):
            continue
        finally:
            os.close(descriptor)
