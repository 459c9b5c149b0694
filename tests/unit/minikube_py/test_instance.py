"""The lock is the truth about who runs a cluster; what checks find is told in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minikube_py import preflight
from minikube_py.config import Config, configured
from minikube_py.instance import InstanceError, Lock, State, read_state, running_pid


def cluster(tmp_path: Path) -> Config:
    return configured(Config(profile="x"), {"data-dir": str(tmp_path)})


def test_a_second_instance_is_told_who_holds_the_data(tmp_path: Path) -> None:
    config = cluster(tmp_path)
    assert running_pid(config) == 0
    lock = Lock.acquire(config)
    assert running_pid(config) == os.getpid()
    with pytest.raises(InstanceError, match=f"process {os.getpid()}"):
        Lock.acquire(config)
    lock.release()
    assert running_pid(config) == 0
    Lock.acquire(config).release()


def test_a_state_file_that_is_broken_or_newer_is_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, "run_dir", property(lambda self: tmp_path))
    config = cluster(tmp_path)
    assert read_state(config) is None
    State(pid=1, phase="ready").write(config.state_file)
    assert read_state(config) == State(pid=1, phase="ready")
    config.state_file.write_text('{"pid": 2, "added_later": true}')
    found = read_state(config)
    assert found is not None
    assert found.pid == 2
    config.state_file.write_text("{")
    assert read_state(config) is None


def test_every_check_of_the_doctor_gives_a_line_on_this_machine(tmp_path: Path) -> None:
    found = list(preflight.findings(cluster(tmp_path)))
    assert {finding.check for finding in found} >= {"python", "cgroups", "ports", "ranges", "disk", "clock"}
    assert all(finding.mend for finding in found if finding.level == preflight.FATAL)


def test_a_taken_port_names_its_holder(tmp_path: Path) -> None:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = configured(cluster(tmp_path), {"port": listener.getsockname()[1], "components": "apiserver"})
        (finding,) = [f for f in preflight.findings(config) if f.check == "ports"]
    assert finding.level == preflight.FATAL
    assert f"process {os.getpid()}" in finding.found
