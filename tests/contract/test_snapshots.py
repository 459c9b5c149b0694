"""The contract of snapshots, over every implementation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from machinery.linux.mount import mount, mount_points, unmount
from runtime.errors import AlreadyExists, FailedPrecondition, NotFound
from runtime.snapshots.native import NativeSnapshotter
from runtime.snapshots.overlay import OverlaySnapshotter
from runtime.snapshots.selection import overlay_works
from runtime.snapshots.snapshot import Kind, Snapshotter, Usage, chain_ids

Open = Callable[[Path], Snapshotter]


@pytest.fixture(params=[OverlaySnapshotter, NativeSnapshotter], ids=["overlay", "native"])
def open_at(request: pytest.FixtureRequest) -> Open:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def snapshotter(open_at: Open, tmp_path: Path) -> Snapshotter:
    return open_at(tmp_path / "snapshots")


@contextmanager
def mounted(snapshotter: Snapshotter, key: str, target: Path) -> Iterator[Path]:
    target.mkdir(exist_ok=True)
    try:
        for value in snapshotter.mounts(key, target):
            mount(value)
        yield target
    finally:
        unmount(target)


def commit_with(snapshotter: Snapshotter, name: str, parent: str, files: dict[str, str], target: Path) -> None:
    snapshotter.prepare("writing", parent)
    with mounted(snapshotter, "writing", target) as root:
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    snapshotter.commit(name, "writing", Usage(1, 1))


def test_a_child_sees_its_parents_and_hides_its_writes_from_them(snapshotter: Snapshotter, tmp_path: Path) -> None:
    target = tmp_path / "target"
    commit_with(snapshotter, "one", "", {"a": "1", "d/x": "x"}, target)
    commit_with(snapshotter, "two", "one", {"b": "2"}, target)
    snapshotter.prepare("top", "two")
    with mounted(snapshotter, "top", target) as root:
        assert (root / "a").read_text() + (root / "b").read_text() + (root / "d/x").read_text() == "12x"
        (root / "a").write_text("changed")
        (root / "d/x").unlink()
        (root / "d").rmdir()
    with mounted(snapshotter, "two", target) as root:
        assert ((root / "a").read_text(), (root / "d/x").read_text()) == ("1", "x")
    with mounted(snapshotter, "top", target) as root:
        assert (root / "a").read_text() == "changed"
        assert not (root / "d").exists()


def test_a_committed_snapshot_is_read_only(snapshotter: Snapshotter, tmp_path: Path) -> None:
    commit_with(snapshotter, "one", "", {"a": "1"}, tmp_path / "target")
    with mounted(snapshotter, "one", tmp_path / "target") as root, pytest.raises(OSError, match="Read-only"):
        (root / "b").touch()


def test_names_are_taken_once(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("key")
    with pytest.raises(AlreadyExists):
        snapshotter.prepare("key")
    snapshotter.commit("name", "key", Usage())
    snapshotter.prepare("key")
    with pytest.raises(AlreadyExists):
        snapshotter.commit("name", "key", Usage())
    assert {s.name: s.kind for s in snapshotter.walk()} == {"name": Kind.COMMITTED, "key": Kind.ACTIVE}


def test_only_a_committed_snapshot_is_a_parent(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("active")
    with pytest.raises(FailedPrecondition):
        snapshotter.prepare("child", "active")
    with pytest.raises(NotFound):
        snapshotter.prepare("child", "absent")
    with pytest.raises(NotFound):
        snapshotter.stat("child")


def test_a_parent_is_removed_after_its_children(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("key")
    snapshotter.commit("below", "key", Usage())
    snapshotter.prepare("top", "below")
    with pytest.raises(FailedPrecondition):
        snapshotter.remove("below")
    snapshotter.remove("top")
    snapshotter.remove("below")
    with pytest.raises(NotFound):
        snapshotter.remove("below")
    assert list(snapshotter.walk()) == []


def test_what_was_there_is_there_when_opened_again(open_at: Open, tmp_path: Path) -> None:
    first = open_at(tmp_path / "snapshots")
    commit_with(first, "one", "", {"a": "1"}, tmp_path / "target")
    first.prepare("top", "one")
    (tmp_path / "snapshots/new-9/fs").mkdir(parents=True)
    again = open_at(tmp_path / "snapshots")
    assert sorted(again.walk(), key=str) == sorted(first.walk(), key=str)
    assert not (tmp_path / "snapshots/new-9").exists()
    assert again.prepare("more", "one").id not in {s.id for s in first.walk()}


def test_usage_of_an_active_snapshot_grows_with_what_is_written(snapshotter: Snapshotter, tmp_path: Path) -> None:
    snapshotter.prepare("key")
    before = snapshotter.usage("key")
    with mounted(snapshotter, "key", tmp_path / "target") as root:
        (root / "data").write_bytes(os.urandom(1 << 16))
    after = snapshotter.usage("key")
    assert (after.bytes - before.bytes >= 1 << 16, after.inodes - before.inodes) == (True, 1)


def test_the_root_keeps_mode_and_owner(snapshotter: Snapshotter, tmp_path: Path) -> None:
    snapshotter.prepare("key")
    with mounted(snapshotter, "key", tmp_path / "target") as root:
        root.chmod(0o1777)
        os.chown(root, 5, 6)
    snapshotter.commit("one", "key", Usage())
    snapshotter.prepare("top", "one")
    with mounted(snapshotter, "top", tmp_path / "target") as root:
        status = root.stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o1777, 5, 6)


def test_a_deep_chain_mounts(snapshotter: Snapshotter, tmp_path: Path) -> None:
    parent = ""
    for level in range(120):
        snapshotter.prepare(f"key{level}", parent)
        (snapshotter.unpacking(f"key{level}").directory / f"f{level}").touch()
        snapshotter.commit(parent := f"level{level}", f"key{level}", Usage())
    snapshotter.prepare("top", parent)
    with mounted(snapshotter, "top", tmp_path / "target") as root:
        assert len(list(root.iterdir())) == 120
    assert mount_points(tmp_path) == []


def test_overlay_is_probed_without_a_trace(tmp_path: Path) -> None:
    assert overlay_works(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_chain_ids_are_the_specification_s() -> None:
    a, b = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    assert chain_ids([]) == ()
    assert chain_ids([a, b]) == (a, "sha256:" + hashlib.sha256(f"{a} {b}".encode()).hexdigest())
