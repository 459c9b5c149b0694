"""The child process that unpacks one layer: `python -m runtime.images.unpack`, the blob on its standard input.

It locks itself into the layer's directory by chroot(2) before it reads the first byte of the layer, so nothing in a
layer can reach outside; it decompresses, writes and verifies the diff id there, far from the parent's event loop, and
answers with one line of JSON.
"""

from __future__ import annotations

import ctypes
import encodings.ascii
import encodings.latin_1  # noqa: F401 - nothing can be imported behind the chroot
import json
import os
import resource
import sys
import tarfile
from typing import Any

from runtime.images.layer_stream import LayerStream, decompressed
from runtime.images.lower_layers import LowerLayers
from runtime.images.tar_entries import Entries

# What a layer of nothing but huge headers may make this process hold.
MEMORY = 2 << 30


def unpack(order: dict[str, Any]) -> dict[str, Any]:
    """Carries out one order of layers.py; the answer has `diff_id`, `bytes` and `inodes`, or `error`."""
    os.umask(0)
    lower = LowerLayers(order["lower"])
    blob = open(0, "rb", closefd=False)  # noqa: SIM115 - standard input ends with this process
    source = LayerStream(*decompressed(blob))
    root = os.open(order["directory"], os.O_RDONLY | os.O_DIRECTORY)
    os.fchdir(root)
    os.chroot(".")
    os.chdir("/")
    entries = Entries(source, lower, marks=order["marks"])
    _add_all(source, entries)
    diff_id = source.finish()
    if diff_id != order["diff_id"]:
        return {"error": f"wrong diff id calculated on extraction {json.dumps(diff_id)}"}
    entries.finish()
    if ctypes.CDLL(None).syncfs(root) != 0:
        return {"error": "syncfs failed"}
    return {"diff_id": diff_id, "bytes": entries.bytes, "inodes": entries.inodes}


def _add_all(source: LayerStream, entries: Entries) -> None:
    try:
        tar = tarfile.TarFile(fileobj=source, encoding="utf-8")  # type: ignore[arg-type]
    except tarfile.ReadError as error:
        if str(error) == "empty file":
            return
        raise
    # Not as an iterator: tarfile would keep every entry.
    while (entry := tar.next()) is not None:
        entries.add(entry)
        tar.members.clear()  # type: ignore[attr-defined]


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        answer = unpack(json.loads(sys.argv[1]))
    except (OSError, ValueError, tarfile.TarError, MemoryError) as error:
        answer = {"error": _told(error)}
    print(json.dumps(answer), flush=True)


def _told(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename or 'layer'}: {os.strerror(error.errno).lower()}"
    return str(error) or type(error).__name__


if __name__ == "__main__":
    main()
