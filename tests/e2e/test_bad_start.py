"""Starts that can't be: one line says why, nothing is lost, nothing loops; with the cause gone `start` works again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minikube_py.config import for_profile
from tests.e2e.conftest import Cluster

pytestmark = pytest.mark.e2e
API_ONLY = "--components=apiserver,controllers,scheduler"


@pytest.fixture
def cluster(make_cluster: Callable[[], Cluster]) -> Iterator[Cluster]:
    """A stopped cluster without a node, in whose store lies a ConfigMap."""
    made = make_cluster()
    made.cli("start", API_ONLY)
    made.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    made.cli("stop")
    try:
        yield made
    finally:
        made.cli("stop", check=False)


def refused(cluster: Cluster, *arguments: str) -> str:
    """What the one line says; fails where there are more, or the process lives on."""
    done = cluster.cli("start", *(arguments or (API_ONLY,)), check=False)
    assert done.returncode != 0, done.stdout + done.stderr
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("  ")]
    assert len(said) == 1 and "Traceback" not in said[0], said
    assert running(cluster) == []
    return said[0]


def works(cluster: Cluster) -> None:
    """It starts, and has what it had."""
    cluster.cli("start", API_ONLY)
    assert cluster.get("configmap", "kept")["data"] == {"a": "b"}
    cluster.kubectl("create", "configmap", "after")
    cluster.kubectl("delete", "configmap", "after")


def running(cluster: Cluster) -> list[int]:
    """The processes of this profile."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if cluster.profile.encode() in words and b"--foreground" in words:
            found.append(int(process.name))
    return found


def pid_of(cluster: Cluster) -> int:
    (pid,) = running(cluster)
    return pid


def kill(pid: int) -> None:
    """Ends the process without a word, and waits until it is gone."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.waitid(os.P_PIDFD, descriptor, os.WEXITED) if _is_child(pid) else _await(descriptor)
    finally:
        os.close(descriptor)


def _is_child(pid: int) -> bool:
    return f"\nPPid:\t{os.getpid()}\n" in Path(f"/proc/{pid}/status").read_text()


def _await(descriptor: int) -> None:
    import select

    assert select.select([descriptor], [], [], 20)[0]


def test_garbage_in_the_store_is_told_and_left_as_it_is(cluster: Cluster) -> None:
    store = cluster.data_dir / "store.db"
    sound = store.read_bytes()
    for garbage in (
        b"garbage " * 10_000,
        sound[:100] + os.urandom(len(sound) - 100),
        sound[: len(sound) // 2],
        b"SQLite format 3\0",
    ):
        store.write_bytes(garbage)
        said = refused(cluster)
        assert str(store) in said and "damaged" in said, said
        assert store.read_bytes() == garbage
    store.write_bytes(sound)
    works(cluster)


def test_a_write_ahead_log_that_was_cut_off_or_is_garbage_stops_no_start(cluster: Cluster) -> None:
    for spoil in (
        lambda wal: wal[: len(wal) - 1000],
        lambda wal: wal[:-5000] + os.urandom(5000),
        lambda wal: os.urandom(len(wal)),
    ):
        cluster.cli("start", API_ONLY)
        kill(pid_of(cluster))
        wal = cluster.data_dir / "store.db-wal"
        wal.write_bytes(spoil(wal.read_bytes()))
        works(cluster)
        cluster.cli("stop")


def test_a_taken_port_is_told_with_who_has_it(cluster: Cluster) -> None:
    options = json.loads((cluster.data_dir / "options.json").read_text())
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(("127.0.0.1", options["port"]))
        taker.listen()
        said = refused(cluster)
        assert f"port {options['port']} is taken by" in said and f"process {os.getpid()}" in said
    works(cluster)


def test_another_instance_that_holds_the_data_is_named(cluster: Cluster) -> None:
    lock = cluster.data_dir / "instance.lock"
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # One that has not yet written who it is.
        assert "another instance" in refused(cluster)
        held.write(f"{os.getpid()}\n")
        held.flush()
        done = cluster.cli("start", API_ONLY)
        assert f"the cluster runs already (process {os.getpid()})" in done.stdout
    with (cluster.data_dir / "store.db.lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "in use by" in refused(cluster)
    works(cluster)


def test_what_a_killed_process_left_is_in_nobodys_way(cluster: Cluster) -> None:
    cluster.cli("start", API_ONLY)
    kill(pid_of(cluster))
    (cluster.data_dir / "instance.lock").write_text("4194303\n")
    (cluster.data_dir / "store.db.lock").write_text("garbage\n")
    for left in ("options.json.new", "minikube-py.log.1"):
        (cluster.data_dir / left).write_text("left")
    works(cluster)


def test_a_stale_socket_is_in_nobodys_way(make_cluster: Callable[[], Cluster]) -> None:
    cluster = make_cluster()
    cluster.cli("start")
    run_dir = for_profile(cluster.profile).run_dir
    kill(pid_of(cluster))
    assert (run_dir / "cri.sock").is_socket()
    cluster.cli("start")
    cluster.cli("stop")
    (run_dir / "cri.sock").write_text("no socket")
    cluster.cli("start")
    cluster.cli("stop")


def test_broken_options_and_keys_are_told(cluster: Cluster) -> None:
    for name in ("options.json", "pki/ca.crt", "pki/ca.key", "pki/service-account.key"):
        path = cluster.data_dir / name
        if not path.exists():
            continue
        sound = path.read_bytes()
        for garbage in (b"", b"{", b"\xff\xfe garbage"):
            path.write_bytes(garbage)
            said = refused(cluster)
            assert str(path) in said, said
        path.write_bytes(sound)
    works(cluster)


def test_a_broken_state_file_is_only_a_memory(cluster: Cluster) -> None:
    cluster.cli("start", API_ONLY)
    state = for_profile(cluster.profile).state_file
    kill(pid_of(cluster))
    for garbage in (b"", b"[]", b'{"failures":7,"pid":"x"}', b"\xff"):
        state.write_bytes(garbage)
        works(cluster)
        kill(pid_of(cluster))


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> None:
    """Leaves no byte on the disk."""
    with (path / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
        try:
            while True:
                file.write(b"0")
        except OSError:
            pass


def test_a_full_disk_is_told_and_nothing_is_lost(make_cluster: Callable[[], Cluster], tmp_path: Path) -> None:
    cluster = make_cluster()
    with small_disk(cluster.data_dir, "24m"):
        cluster.cli("start", API_ONLY)
        cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        fill(cluster.data_dir)
        written = []
        for number in range(100):
            said = cluster.kubectl(
                "create", "configmap", f"big-{number}", f"--from-literal=a={'x' * 100_000}", check=False
            )
            if "created" not in said:
                assert "disk is full" in said, said
                break
            written.append(f"big-{number}")
        else:
            pytest.fail("the disk never was full")
        assert cluster.get("configmap", "kept")["data"] == {"a": "b"}
        kill(pid_of(cluster))
        said = refused(cluster) if not started(cluster) else ""
        assert not said or "full" in said or "No space" in said, said
        cluster.cli("stop", check=False)
        (cluster.data_dir / "filler").unlink()
        works(cluster)
        assert {each["metadata"]["name"] for each in cluster.get("configmap")["items"]} >= {"kept", *written}
        cluster.cli("stop")
    shutil.rmtree(cluster.data_dir)


def started(cluster: Cluster) -> bool:
    """Whether it starts on the full disk, which it may: reading needs no room."""
    return cluster.cli("start", API_ONLY, check=False).returncode == 0
