"""Writes the entries of a layer's tar into the directory that is this process's root.

Runs only in the chrooted child: every path is absolute, and whatever a layer's names and links say, they end inside.
Removals (`.wh.` names, OCI image spec) hide lower layers only, never what the same layer brings.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import stat
import tarfile
from collections.abc import Sequence
from contextlib import suppress

from runtime.images.layer_stream import LayerStream
from runtime.images.lower_layers import LowerLayers

WHITEOUT, OPAQUE, AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."
XATTR = "SCHILY.xattr."
# A layer has no say in how its directories are stacked.
FOREIGN_XATTRS = ("trusted.overlay.", "user.overlay.")
CHUNK = 1 << 20
BLOCK = 4096


class Entries:
    """Takes entries one by one; `bytes` and `inodes` tell what they take."""

    def __init__(self, source: LayerStream, lower: LowerLayers, *, marks: bool) -> None:
        self._source, self._lower, self._marks = source, lower, marks
        self._written: set[str] = set()
        self._times: dict[str, float] = {}
        self.bytes = self.inodes = 0

    def add(self, entry: tarfile.TarInfo) -> None:
        path = posixpath.normpath("/" + entry.name).replace("//", "/")
        parent, name = posixpath.split(path)
        if name.startswith(WHITEOUT):
            self._remove(parent, name)
            return
        if path != "/":
            self._make_parents(parent)
        self._write(path, entry)
        self._written.add(path)

    def finish(self) -> None:
        """Gives directories their times, which every entry in them had changed."""
        for path, time in self._times.items():
            with suppress(FileNotFoundError):
                os.utime(path, (time, time), follow_symlinks=False)

    def _remove(self, parent: str, name: str) -> None:
        if name == OPAQUE:
            self._make_parents(parent)
            self._hide_below(parent)
            return
        hidden = name.removeprefix(WHITEOUT)
        if name.startswith(AUFS):
            return
        if hidden in ("", ".", ".."):
            raise ValueError(f"invalid whiteout name: {name}")
        path = posixpath.join(parent, hidden)
        status = _status(path)
        if path in self._written:
            if status and stat.S_ISDIR(status.st_mode):
                self._hide_below(path)
            return
        if self._marks:
            self._make_parents(parent)
            if status is None:
                os.mknod(path, stat.S_IFCHR, 0)
                self.inodes += 1
            elif stat.S_ISDIR(status.st_mode):
                self._hide_below(path)
        elif status is not None:
            _delete(path, status)

    def _hide_below(self, directory: str) -> None:
        if self._marks:
            os.setxattr(directory, "trusted.overlay.opaque", b"y", follow_symlinks=False)
            return
        with os.scandir(directory) as children:
            for child in list(children):
                if child.path not in self._written and not self._holds_written(child.path):
                    _delete(child.path, child.stat(follow_symlinks=False))

    def _holds_written(self, directory: str) -> bool:
        return any(path.startswith(directory + "/") for path in self._written)

    def _make_parents(self, directory: str) -> None:
        if os.path.isdir(directory):
            return
        self._make_parents(posixpath.dirname(directory))
        known = self._lower.directory(directory)
        self._clear(directory, keep_directory=False)
        os.mkdir(directory)
        os.chown(directory, known.st_uid if known else 0, known.st_gid if known else 0)
        os.chmod(directory, stat.S_IMODE(known.st_mode) if known else 0o755)
        self._count(0)

    def _write(self, path: str, entry: tarfile.TarInfo) -> None:
        was_hidden = self._clear(path, keep_directory=entry.isdir())
        if entry.isdir():
            self._make_directory(path, hides_lower=was_hidden)
        elif entry.islnk():
            self._link(path, posixpath.normpath("/" + entry.linkname).replace("//", "/"))
            return
        elif entry.issym():
            os.symlink(entry.linkname, path)
        elif entry.ischr() or entry.isblk():
            kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
            os.mknod(path, kind | 0o600, os.makedev(entry.devmajor, entry.devminor))
        elif entry.isfifo():
            os.mkfifo(path, 0o600)
        elif entry.isreg() or entry.type in (tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE):
            self._copy(path, entry)
        else:
            raise ValueError(f"unhandled tar header type {entry.type!r} of {entry.name}")
        self._count(entry.size if entry.isreg() else 0)
        self._describe(path, entry)

    def _clear(self, path: str, *, keep_directory: bool) -> bool:
        """Removes what stands at `path`; says whether that was overlay's mark of a removal."""
        status = _status(path)
        if status is None or path == "/" or (keep_directory and stat.S_ISDIR(status.st_mode)):
            return False
        _delete(path, status)
        return self._marks and stat.S_ISCHR(status.st_mode) and status.st_rdev == 0

    def _make_directory(self, path: str, *, hides_lower: bool) -> None:
        if _status(path) is None:
            os.mkdir(path, 0o700)
        if hides_lower:
            self._hide_below(path)

    def _link(self, path: str, target: str) -> None:
        try:
            os.link(target, path, follow_symlinks=False)
        except FileNotFoundError:
            # The target came with a lower layer, where this one can't link to: give it a copy, as overlay would.
            if not self._lower.copy_file(target, path):
                raise
            self._count(os.lstat(path).st_size)

    def _copy(self, path: str, entry: tarfile.TarInfo) -> None:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb", buffering=0) as file:
            self._source.seek(entry.offset_data)
            holes: Sequence[tuple[int, int]] | None = entry.sparse  # type: ignore[assignment]
            for offset, size in ((0, entry.size),) if holes is None else holes:
                file.seek(offset)
                while size > 0:
                    data = self._source.read(min(size, CHUNK))
                    if not data:
                        raise ValueError(f"unexpected end of data in {entry.name}")
                    file.write(data)
                    size -= len(data)
            if holes is not None:
                file.truncate(entry.size)

    def _describe(self, path: str, entry: tarfile.TarInfo) -> None:
        # Owner first: chown(2) takes away setuid bits and file capabilities.
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        if not entry.issym():
            os.chmod(path, entry.mode & 0o7777)
        for key, value in entry.pax_headers.items():
            if key.startswith(XATTR):
                _set_xattr(path, key.removeprefix(XATTR), value)
        time = max(float(entry.mtime), 0.0)
        if entry.isdir():
            self._times[path] = time
        else:
            os.utime(path, (time, time), follow_symlinks=False)

    def _count(self, size: int) -> None:
        self.inodes += 1
        self.bytes += -(-size // BLOCK) * BLOCK


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _delete(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _set_xattr(path: str, name: str, value: str) -> None:
    if name.startswith(FOREIGN_XATTRS):
        return
    try:
        os.setxattr(path, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
    except OSError as error:
        # The filesystem has none of this sort, or symbolic links take none.
        if error.errno not in (errno.ENOTSUP, errno.EPERM):
            raise
