"""Writes an image as an OCI layout directory: one layer of a root filesystem, byte for byte the same each time."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machinery.structs import Struct
from runtime.images.content import digest_of, write_atomically
from runtime.images.media import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from runtime.images.platform import Platform, host_platform

EPOCH = 1_700_000_000
CREATED = "2023-11-14T22:13:20Z"


class Layout(Struct, frozen=True):
    """A directory with `oci-layout`, `index.json` and `blobs/sha256/`."""

    directory: Path

    def blob(self, digest: str) -> Path:
        return self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def manifest(self) -> tuple[str, str]:
        """Digest and media type of the one image manifest."""
        (entry,) = json.loads((self.directory / "index.json").read_bytes())["manifests"]
        return entry["digest"], entry["mediaType"]

    def put(self, body: bytes) -> dict[str, Any]:
        """Stores a blob; the digest and size of its descriptor."""
        digest = digest_of(body)
        write_atomically(self.blob(digest), body)
        return {"digest": digest, "size": len(body)}


def write_layout(
    directory: Path, rootfs: Path, config: Mapping[str, Any], *, platform: Platform | None = None
) -> Layout:
    """The image of `rootfs` with `config` (Cmd, Env, ExposedPorts, …), every file owned by root."""
    layout = Layout(directory)
    layout.blob("").mkdir(parents=True, exist_ok=True)
    where = platform or host_platform()
    layer, diff_id = _layer(layout, rootfs)
    document = {
        "created": CREATED,
        "architecture": where.architecture,
        "os": where.os,
        **({"variant": where.variant} if where.variant else {}),
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": CREATED, "created_by": "minikube-py"}],
    }
    image = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, **layout.put(json.dumps(document).encode())},
        "layers": [layer],
    }
    manifest = {"mediaType": OCI_MANIFEST, **layout.put(json.dumps(image).encode())}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [manifest]}
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    write_atomically(directory / "index.json", json.dumps(index).encode())
    return layout


def _layer(layout: Layout, rootfs: Path) -> tuple[dict[str, Any], str]:
    unnamed = layout.directory / "layer.new"
    hashed = _Hashed(unnamed)
    with tarfile.TarFile(fileobj=hashed, mode="w", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[arg-type]
        for path in sorted(rootfs.rglob("*")):
            tar.add(path, arcname=str(path.relative_to(rootfs)), recursive=False, filter=_owned_by_root)
    diff_id, digest = hashed.close()
    size = unnamed.stat().st_size
    os.replace(unnamed, layout.blob(digest))
    return {"mediaType": OCI_LAYER_GZIP, "digest": digest, "size": size}, diff_id


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = EPOCH
    return entry


class _Hashed:
    """Writes gzip to a file and hashes what goes in and what comes out."""

    def __init__(self, path: Path) -> None:
        self._plain, self._packed = hashlib.sha256(), hashlib.sha256()
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=_Tee(self), mtime=0)
        self._position = 0

    def write(self, data: bytes) -> int:
        self._plain.update(data)
        self._position += len(data)
        return self._gzip.write(data)

    def tell(self) -> int:
        return self._position

    def pack(self, data: bytes) -> int:
        self._packed.update(data)
        return self._file.write(data)

    def close(self) -> tuple[str, str]:
        """The diff id and the blob's digest."""
        self._gzip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return f"sha256:{self._plain.hexdigest()}", f"sha256:{self._packed.hexdigest()}"


class _Tee(Struct, frozen=True):
    target: _Hashed

    def write(self, data: bytes) -> int:
        return self.target.pack(data)

    def flush(self) -> None:
        return None
