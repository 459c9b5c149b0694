"""The link at containerd's place is made where that is free, and only the own one is ever removed."""

from __future__ import annotations

from pathlib import Path

from minikube_py.containerd_link import leads_to, make, remove


def test_a_free_place_is_linked_and_left_as_it_was(tmp_path: Path) -> None:
    path, socket = tmp_path / "containerd/containerd.sock", tmp_path / "cri.sock"
    assert make(socket, path) and leads_to(socket, path)
    assert make(socket, path)
    remove(socket, path)
    assert not path.parent.exists()
    remove(socket, path)


def test_a_link_that_a_killed_cluster_left_is_taken_over(tmp_path: Path) -> None:
    path, socket, dead = tmp_path / "c/containerd.sock", tmp_path / "cri.sock", tmp_path / "dead/cri.sock"
    assert make(dead, path)
    assert make(socket, path) and leads_to(socket, path)
    assert not make(tmp_path / "foreign.sock", path) and leads_to(socket, path)


def test_what_is_there_stays(tmp_path: Path) -> None:
    path, socket, other = tmp_path / "c/containerd.sock", tmp_path / "cri.sock", tmp_path / "other/cri.sock"
    assert make(other, path)
    other.parent.mkdir()
    other.touch()
    assert not make(socket, path)
    remove(socket, path)
    assert leads_to(other, path)
    path.unlink()
    path.touch()
    assert not make(socket, path)
    remove(socket, path)
    assert path.is_file()


def test_a_folder_that_others_use_stays(tmp_path: Path) -> None:
    path, socket = tmp_path / "c/containerd.sock", tmp_path / "cri.sock"
    make(socket, path)
    (path.parent / "fifo").touch()
    remove(socket, path)
    assert [each.name for each in path.parent.iterdir()] == ["fifo"]
    assert not make(socket, tmp_path / "none/at/all.sock")
