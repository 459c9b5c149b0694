"""Reads images from a tar: what `docker save` writes, and OCI layouts. Blocks: the callers use threads."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from runtime.errors import InvalidArgument
from runtime.images.content import CHUNK, ContentStore
from runtime.images.media import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    INDEXES,
    MAX_MANIFEST,
    Descriptor,
    choose,
    host_platform,
    parse_config,
    parse_index,
    parse_manifest,
)
from runtime.images.pull import image_record
from runtime.images.record import ImageRecord
from runtime.images.reference import parse_reference

NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def read_archive(path: Path, content: ContentStore) -> list[ImageRecord]:
    """The images in `path`, their blobs added to `content`; raises InvalidArgument where it is no image archive."""
    try:
        with tarfile.open(path) as tar:
            files = {name.removeprefix("./"): name for name in tar.getnames()}
            if "index.json" in files and "oci-layout" in files:
                return list(_layout(tar, files, content))
            if "manifest.json" in files:
                return list(_saved(tar, files, content))
    except (tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(f"malformed image archive {path}: {error}") from error
    raise InvalidArgument(f"unrecognized image format in {path}")


def _layout(tar: tarfile.TarFile, files: dict[str, str], content: ContentStore) -> Iterator[ImageRecord]:
    for name in files:
        if name.startswith("blobs/sha256/"):
            _add(tar, files, name, content)
    for entry in json.loads(_small(tar, files, "index.json"))["manifests"]:
        annotations: dict[str, Any] = entry.get("annotations") or {}
        name = next((annotations[key] for key in NAMES if annotations.get(key)), "")
        digest, media_type = entry["digest"], entry["mediaType"]
        if media_type in INDEXES:
            digest = choose(parse_index(content.read(digest)), host_platform()).digest
        yield _record(content, digest, (name,) if name else (), entry["digest"])


def _saved(tar: tarfile.TarFile, files: dict[str, str], content: ContentStore) -> Iterator[ImageRecord]:
    for entry in json.loads(_small(tar, files, "manifest.json")):
        config = _add(tar, files, entry["Config"], content)
        layers = [_add(tar, files, layer, content) for layer in entry["Layers"]]
        manifest = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG, "digest": config.digest, "size": config.size},
            "layers": [{"mediaType": LAYER, "digest": layer.digest, "size": layer.size} for layer in layers],
        }
        digest = content.add(json.dumps(manifest).encode())
        yield _record(content, digest, tuple(entry["RepoTags"] or ()), digest)


def _record(content: ContentStore, digest: str, names: tuple[str, ...], target: str) -> ImageRecord:
    manifest = parse_manifest(content.read(digest))
    config = parse_config(content.read(manifest.config.digest))
    references = [parse_reference(name) for name in names]
    repository = references[0].repository if references else "import.local/image"
    return image_record(digest, manifest, config, tuple(map(str, references)), f"{repository}@{target}")


def _open(tar: tarfile.TarFile, files: dict[str, str], name: str) -> IO[bytes]:
    file = tar.extractfile(files[name])
    if file is None:
        raise InvalidArgument(f"{name} is no file")
    return file


def _small(tar: tarfile.TarFile, files: dict[str, str], name: str) -> bytes:
    with _open(tar, files, name) as file:
        return file.read(MAX_MANIFEST)


def _add(tar: tarfile.TarFile, files: dict[str, str], name: str, content: ContentStore) -> Descriptor:
    digest, size = hashlib.sha256(), 0
    with _open(tar, files, name) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
        descriptor = Descriptor("", f"sha256:{digest.hexdigest()}", size)
        if not content.has(descriptor.digest):
            ingest = content.ingest(descriptor)
            ingest.resume()
            file.seek(ingest.offset)
            while chunk := file.read(CHUNK):
                ingest.write(chunk)
            ingest.commit()
    return descriptor
