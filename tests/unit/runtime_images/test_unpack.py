"""Layers end inside their directory, whatever they hold; the OCI image spec's whiteouts as overlay and as removals."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard

from runtime.errors import FailedPrecondition
from runtime.images.layers import unpack_layer
from runtime.snapshots.snapshot import Unpacking

Entry = tuple[str, str]
"""A name, and what it is: "dir", "-> target", "=> hard link", "xattr NAME", or a file's content."""


def entry(name: str, what: str) -> tuple[tarfile.TarInfo, bytes]:
    info, body = tarfile.TarInfo(name), b""
    info.mode = 0o644
    if what == "dir":
        info.type, info.mode = tarfile.DIRTYPE, 0o750
    elif what.startswith("-> "):
        info.type, info.linkname = tarfile.SYMTYPE, what[3:]
    elif what.startswith("=> "):
        info.type, info.linkname = tarfile.LNKTYPE, what[3:]
    elif what.startswith("xattr "):
        info.pax_headers = {f"SCHILY.xattr.{what[6:]}": "value"}
    else:
        body = what.encode()
        info.size = len(body)
    return info, body


def layer(*entries: Entry) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, body in (entry(*each) for each in entries):
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


async def unpack(tmp_path: Path, body: bytes, *, lower: Path | None = None, into: Path | None = None) -> Path:
    root = into or tmp_path / "root"
    root.mkdir(exist_ok=True)
    blob = tmp_path / "blob"
    blob.write_bytes(body)
    unpacking = Unpacking(root, marks=lower is not None, lower=(lower,) if lower else ())
    await unpack_layer(blob, unpacking, "sha256:" + hashlib.sha256(body).hexdigest())
    return root


def tree(root: Path) -> dict[str, str]:
    """Every path below `root`, with its text, its link or its kind."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        kinds = {stat.S_IFDIR: "dir", stat.S_IFCHR: "removed" if status.st_rdev == 0 else "device"}
        if path.is_symlink():
            text = f"-> {os.readlink(path)}"
        else:
            text = kinds.get(stat.S_IFMT(status.st_mode)) or path.read_text()
        found[str(path.relative_to(root))] = text
    return found


async def test_nothing_in_a_layer_reaches_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    outside = str(tmp_path / "secret")
    root = await unpack(
        tmp_path,
        layer(
            ("../../escaped", "1"),
            ("/absolute", "2"),
            ("out", "-> ../.."),
            ("out/through", "3"),
            ("rooted", f"-> {tmp_path}"),
            ("etc", "dir"),
            ("etc/../../../dots", "4"),
            ("back", "-> /etc"),
            ("back/via-link", "5"),
        ),
    )
    assert tree(root) == {
        "absolute": "2",
        "back": "-> /etc",
        "dots": "4",
        "escaped": "1",
        "etc": "dir",
        "etc/via-link": "5",
        "out": "-> ../..",
        "rooted": f"-> {tmp_path}",
        "through": "3",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blob", "root", "secret"]
    with pytest.raises(FailedPrecondition, match="no such file"):
        await unpack(tmp_path, layer(("stolen", f"=> {outside}")), into=tmp_path / "other")


async def test_a_whiteout_hides_what_is_below(tmp_path: Path) -> None:
    below = await unpack(tmp_path, layer(("d", "dir"), ("d/old", "1"), ("f", "1")), into=tmp_path / "below")
    upper = await unpack(
        tmp_path,
        layer((".wh.f", ""), ("d", "dir"), ("d/.wh..wh..opq", ""), ("d/new", "2"), ("absent/.wh.x", "")),
        lower=below,
        into=tmp_path / "upper",
    )
    assert tree(upper) == {"absent": "dir", "absent/x": "removed", "d": "dir", "d/new": "2", "f": "removed"}
    assert os.getxattr(upper / "d", "trusted.overlay.opaque") == b"y"


async def test_a_directory_after_its_whiteout_is_opaque(tmp_path: Path) -> None:
    below = await unpack(tmp_path, layer(("d", "dir"), ("d/old", "1")), into=tmp_path / "below")
    upper = await unpack(tmp_path, layer((".wh.d", ""), ("d", "dir"), ("d/new", "2")), lower=below)
    assert tree(upper) == {"d": "dir", "d/new": "2"}
    assert os.getxattr(upper / "d", "trusted.overlay.opaque") == b"y"


async def test_a_whiteout_removes_where_layers_are_copies(tmp_path: Path) -> None:
    root = await unpack(tmp_path, layer(("d", "dir"), ("d/old", "1"), ("f", "1"), ("g", "1")))
    await unpack(tmp_path, layer(("d/new", "2"), ("d/.wh..wh..opq", ""), (".wh.f", ""), ("g", "dir")))
    assert tree(root) == {"d": "dir", "d/new": "2", "g": "dir"}


async def test_a_whiteout_spares_what_the_same_layer_brings(tmp_path: Path) -> None:
    root = await unpack(tmp_path, layer(("f", "1"), (".wh.f", "")))
    assert tree(root) == {"f": "1"}


async def test_links_modes_and_attributes_are_kept(tmp_path: Path) -> None:
    info, body = entry("suid", "program")
    info.mode, info.uid, info.gid, info.mtime = 0o4755, 12, 34, 1_000
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(body))
        for each in (("hard", "=> suid"), ("noted", "xattr user.note"), ("bad", "xattr trusted.overlay.redirect")):
            other, content = entry(*each)
            tar.addfile(other, io.BytesIO(content))
    root = await unpack(tmp_path, out.getvalue())
    status = (root / "suid").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_mtime) == (0o4755, 12, 34, 1_000)
    assert (root / "hard").stat().st_ino == status.st_ino
    assert os.getxattr(root / "noted", "user.note") == b"value"
    assert "trusted.overlay.redirect" not in os.listxattr(root / "bad")


async def test_parents_that_a_layer_leaves_out_look_as_below(tmp_path: Path) -> None:
    below = tmp_path / "below"
    (below / "home/user").mkdir(parents=True)
    (below / "home/user").chmod(0o700)
    os.chown(below / "home/user", 7, 8)
    (below / "home/user/tool").write_text("tool")
    upper = await unpack(tmp_path, layer(("home/user/file", "1"), ("link", "=> home/user/tool")), lower=below)
    status = (upper / "home/user").stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o700, 7, 8)
    assert (upper / "link").read_text() == "tool"


async def test_a_sparse_file_stays_sparse(tmp_path: Path) -> None:
    with open(tmp_path / "holes", "wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"x" * 4096)
    process = os.posix_spawnp(
        "tar", ["tar", "-C", str(tmp_path), "-Scf", str(tmp_path / "sparse.tar"), "holes"], dict(os.environ)
    )
    assert os.waitpid(process, 0)[1] == 0
    root = await unpack(tmp_path, (tmp_path / "sparse.tar").read_bytes())
    assert (root / "holes").read_bytes() == (tmp_path / "holes").read_bytes()
    assert (root / "holes").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, bytes])
async def test_a_layer_is_verified_however_it_is_packed(tmp_path: Path, pack: type[bytes]) -> None:
    body = layer(("a", "1"))
    blob, diff_id = tmp_path / "blob", "sha256:" + hashlib.sha256(body).hexdigest()
    blob.write_bytes(pack(body))
    (tmp_path / "root").mkdir()
    usage = await unpack_layer(blob, Unpacking(tmp_path / "root", marks=False), diff_id)
    assert (usage.bytes, usage.inodes) == (4096, 1)
    with pytest.raises(FailedPrecondition, match="wrong diff id"):
        await unpack_layer(blob, Unpacking(tmp_path / "root", marks=False), "sha256:" + "0" * 64)
    blob.write_bytes(pack(body)[:-9])
    with pytest.raises(FailedPrecondition):
        await unpack_layer(blob, Unpacking(tmp_path / "root", marks=False), diff_id)
