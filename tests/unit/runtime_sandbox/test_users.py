"""Whom a container runs as."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import InvalidArgument
from runtime.sandbox.users import Identity, Wanted, identity, resolve

PASSWD = [["root", "x", "0", "0", "root", "/root", "/bin/sh"], ["web", "x", "500", "600", "", "/srv", "/bin/sh"]]
GROUPS = [["root", "x", "0", ""], ["web", "x", "600", ""], ["extra", "x", "700", "web,root"]]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), Identity(0, 0, (0, 700), "/root")),
        (Wanted("web"), Identity(500, 600, (600, 700), "/srv")),
        (Wanted("500"), Identity(500, 600, (600, 700), "/srv")),
        (Wanted("web:extra"), Identity(500, 700, (700,), "/srv")),
        (Wanted("1234"), Identity(1234, 0, (0,), "/")),
        (Wanted("1234:5678"), Identity(1234, 5678, (5678,), "/")),
        (Wanted("web", (900, 700)), Identity(500, 600, (600, 700, 900), "/srv")),
        (Wanted("web", (900,), strict=True), Identity(500, 600, (600, 900), "/srv")),
    ],
)
def test_users_and_groups_come_from_the_files(wanted: Wanted, found: Identity) -> None:
    assert resolve(wanted, PASSWD, GROUPS) == found


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("web:none", "unable to find group none: no matching entries in group file"),
    ],
)
def test_names_that_are_in_no_file_are_refused(said: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        resolve(Wanted(said), PASSWD, GROUPS)


def test_files_are_read_within_the_root_whatever_links_say(tmp_path: Path) -> None:
    outside, rootfs = tmp_path / "outside", tmp_path / "rootfs"
    outside.write_text("web:x:1:1::/:/bin/sh\n")
    (rootfs / "etc").mkdir(parents=True)
    (rootfs / "etc/passwd").symlink_to(outside)
    assert identity(rootfs, Wanted("7")) == Identity(7, 0, (0,), "/")
    (rootfs / "etc/passwd").unlink()
    (rootfs / "real").write_text("web:x:500:600::/srv:/bin/sh\nodd line\n")
    (rootfs / "etc/passwd").symlink_to("/real")
    assert identity(rootfs, Wanted("web")).uid == 500
