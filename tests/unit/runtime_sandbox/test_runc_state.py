"""The shortcuts past runc: what they do, and that they leave to runc what isn't plain."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from runtime.sandbox.runc_state import forget, let_go, signal_first, signal_number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("TERM", signal.SIGTERM),
        ("SIGQUIT", signal.SIGQUIT),
        ("sigint", signal.SIGINT),
        ("9", 9),
        ("RTMIN+3", signal.SIGRTMIN + 3),
        ("SIGRTMAX-1", signal.SIGRTMAX - 1),
        ("NOTHING", None),
        ("_DFL", None),
    ],
)
def test_signals_by_name(name: str, number: int | None) -> None:
    assert signal_number(name) == number


def test_a_process_that_waits_at_the_fifo_goes_on(tmp_path: Path) -> None:
    fifo = tmp_path / "exec.fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(b"0"))
    writer.start()
    assert let_go(tmp_path, os.getpid())
    writer.join()
    assert not fifo.exists()


def test_a_process_that_dies_at_the_fifo_is_left_to_runc(tmp_path: Path) -> None:
    assert not let_go(tmp_path, os.getpid())
    os.mkfifo(tmp_path / "exec.fifo")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert not let_go(tmp_path, process.pid)
    assert not let_go(tmp_path, process.pid)
    assert (tmp_path / "exec.fifo").exists()


def test_a_process_of_another_cgroup_is_not_signalled() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert not signal_first("f" * 64, process.pid, "KILL")
        assert process.poll() is None
        assert not signal_first("", process.pid, "NOTHING")
        assert signal_first("", process.pid, "KILL")
        assert process.wait() == -signal.SIGKILL
    assert not signal_first("", process.pid, "KILL")


def test_a_container_without_processes_is_forgotten(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert forget(state, "/no-such-cgroup-of-a-test")
    state.mkdir()
    (state / "state.json").write_text("{}")
    assert forget(state, "/no-such-cgroup-of-a-test") and not state.exists()
