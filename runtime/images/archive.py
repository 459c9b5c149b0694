"""Reads images from a tar, packed or not: what `docker save` writes, and OCI layouts. Blocks: the callers use threads.

The tar is read once and forward, so that it may come through a pipe: every file that can be a blob goes into the sink
as it passes, and what the archive's lists say of them is read at the end.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections.abc import Iterator
from io import BufferedReader
from typing import IO, Any, Protocol

from machinery.structs import Struct, field
from runtime.errors import InvalidArgument
from runtime.images.content import Reader
from runtime.images.layer_stream import Errors, decompressed
from runtime.images.media import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    INDEXES,
    MAX_MANIFEST,
    Descriptor,
    check_platform,
    choose,
    parse_config,
    parse_index,
    parse_manifest,
)
from runtime.images.platform import Platform
from runtime.images.reference import parse_reference

NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
LISTS = ("oci-layout", "index.json", "manifest.json")
# `docker save` puts its files no deeper than <id>/layer.tar, OCI layouts theirs into blobs/sha256/.
DEEPEST = 2
BLOBS = "blobs/sha256/"


class Sink(Protocol):
    """Where blobs go."""

    def put(self, source: Reader, size: int, expected: str) -> str:
        """Stores the next `size` bytes of `source`; their digest. If `expected` is there, they may stay unread."""

    def add(self, body: bytes) -> str:
        """Stores a blob that is in memory; its digest."""

    def read(self, digest: str) -> bytes:
        """A small blob that was stored; raises NotFound."""


class Found(Struct, frozen=True):
    """An image of an archive: `target` is its manifest or index, `id` the digest of its config."""

    id: str
    names: tuple[str, ...]
    target: Descriptor


class _Contents(Struct):
    """The files of a tar: blobs that went into the sink, links between paths, and the lists themselves."""

    blobs: dict[str, Descriptor] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    lists: dict[str, Any] = field(default_factory=dict)

    def blob(self, path: str) -> Descriptor:
        path = posixpath.normpath(path)
        for _ in range(8):
            if path in self.blobs:
                return self.blobs[path]
            path = self.links.get(path, "")
        raise KeyError(path)


def read_archive(stream: BufferedReader, sink: Sink, platform: Platform) -> list[Found]:
    """The images in the stream, their blobs in `sink`.

    Raises InvalidArgument where it is no image archive, NotFound where an image of it is for other machines.
    """
    try:
        with tarfile.open(fileobj=_Sound(*decompressed(stream)), mode="r|") as tar:  # type: ignore[call-overload]
            contents = _read(tar, sink)
        if "index.json" in contents.lists and "oci-layout" in contents.lists:
            found = list(_layout(contents, sink, platform))
        elif "manifest.json" in contents.lists:
            found = list(_saved(contents, sink))
        else:
            raise InvalidArgument("unrecognized image format: neither what docker save writes nor an OCI layout")
        for image in found:
            check_platform(parse_config(sink.read(image.id)), platform)
    except (tarfile.TarError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidArgument(f"malformed image archive: {error or type(error).__name__}") from error
    return found


def _read(tar: tarfile.TarFile, sink: Sink) -> _Contents:
    contents = _Contents()
    for entry in tar:
        name = posixpath.normpath(entry.name)
        if entry.issym() or entry.islnk():
            parent = posixpath.dirname(name) if entry.issym() else ""
            contents.links[name] = posixpath.normpath(posixpath.join(parent, entry.linkname))
        elif entry.isfile() and name in LISTS:
            if entry.size > MAX_MANIFEST:
                raise ValueError(f"{name} is larger than {MAX_MANIFEST} bytes")
            contents.lists[name] = json.loads(_open(tar, entry).read())
        elif entry.isfile() and (name.startswith(BLOBS) or name.count("/") < DEEPEST):
            expected = f"sha256:{name.removeprefix(BLOBS)}" if name.startswith(BLOBS) else ""
            source = _Peeked(_open(tar, entry))
            media_type = DOCKER_LAYER_GZIP if source.head[:2] == b"\x1f\x8b" else DOCKER_LAYER
            contents.blobs[name] = Descriptor(media_type, sink.put(source, entry.size, expected), entry.size)
            if expected and contents.blobs[name].digest != expected:
                raise ValueError(f"{name} is not what its name says")
    return contents


def _open(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(entry)
    if file is None:
        raise ValueError(f"{entry.name} is no file")
    return file


class _Sound:
    """Reads a packed stream; raises ValueError where the packing is broken."""

    def __init__(self, source: Reader, errors: Errors) -> None:
        self._source = source
        self._errors: Errors = (*errors, EOFError)

    def read(self, size: int = -1) -> bytes:
        try:
            return self._source.read(size)
        except self._errors as error:
            raise ValueError(f"corrupt archive: {error}") from error


class _Peeked:
    """A stream whose first bytes were looked at."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self.head = source, source.read(4)
        self._ahead = self.head

    def read(self, size: int = -1) -> bytes:
        ahead, self._ahead = self._ahead, b""
        return ahead + self._source.read(size - len(ahead) if size >= 0 else -1)


def _layout(contents: _Contents, sink: Sink, platform: Platform) -> Iterator[Found]:
    for entry in contents.lists["index.json"]["manifests"]:
        annotations: dict[str, Any] = entry.get("annotations") or {}
        target = Descriptor(entry["mediaType"], entry["digest"], entry["size"])
        digest = target.digest
        if target.media_type in INDEXES:
            digest = choose(parse_index(sink.read(digest)), platform).digest
        name = next((name for key in NAMES if _is_name(name := str(annotations.get(key) or ""))), "")
        names = (str(parse_reference(name)),) if name else ()
        yield Found(parse_manifest(sink.read(digest)).config.digest, names, target)


def _is_name(text: str) -> bool:
    # A layout's own reference may be a tag alone, which names no image.
    return any(mark in text for mark in ":/")


def _saved(contents: _Contents, sink: Sink) -> Iterator[Found]:
    for entry in contents.lists["manifest.json"]:
        config = contents.blob(entry["Config"])
        layers = [contents.blob(layer) for layer in entry["Layers"]]
        manifest = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG, "digest": config.digest, "size": config.size},
            "layers": [{"mediaType": each.media_type, "digest": each.digest, "size": each.size} for each in layers],
        }
        body = json.dumps(manifest).encode()
        target = Descriptor(DOCKER_MANIFEST, sink.add(body), len(body))
        yield Found(config.digest, tuple(str(parse_reference(name)) for name in entry["RepoTags"] or ()), target)
