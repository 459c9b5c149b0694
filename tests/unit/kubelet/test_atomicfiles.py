"""Files that change all at once, also where the process ends in between: the next writing makes them whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelet.atomicfiles import File, write_atomically

FILES = {"word": File(b"here"), "below/deep": File(b"there")}


class Ended(BaseException):
    """The process is gone."""


def seen(directory: Path) -> dict[str, bytes]:
    """What a container reads, by path, and nothing but the layout's own names beside it."""
    names = {entry.name for entry in directory.iterdir()}
    hidden = {name for name in names if name.startswith("..")}
    assert len(hidden) == 2
    return {
        f"{name}/{path.relative_to(directory / name)}".removesuffix("/."): path.read_bytes()
        for name in names - hidden
        for path in ([directory / name] if (directory / name).is_file() else (directory / name).iterdir())
    }


@pytest.mark.parametrize("step", ["chmod", "write_bytes", "symlink_to", "rename"])
@pytest.mark.parametrize("ends_at", [1, 2, 3])
@pytest.mark.parametrize("before", [{}, {"word": File(b"old"), "gone": File(b"x")}], ids=["new", "changed"])
def test_what_an_ended_process_has_begun_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, ends_at: int, before: dict[str, File]
) -> None:
    directory = tmp_path / "volume"
    if before:
        write_atomically(directory, before)
    calls, real = 0, getattr(Path, step)

    def ending(self: Path, *args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == ends_at:
            raise Ended
        return real(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Path, step, ending)
        try:
            write_atomically(directory, FILES)
        except Ended:
            assert calls == ends_at
    write_atomically(directory, FILES)
    assert seen(directory) == {"word": b"here", "below/deep": b"there"}
    assert not write_atomically(directory, FILES)
