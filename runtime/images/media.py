"""The documents of images: descriptors, manifests, indexes, platforms; pure readings of untrusted JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from machinery.structs import Struct, replace
from runtime.errors import InvalidArgument, NotFound
from runtime.images.platform import Platform, mismatch, rank
from runtime.images.reference import is_digest

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker.distribution"
OCI_INDEX, OCI_MANIFEST = f"{OCI}.index.v1+json", f"{OCI}.manifest.v1+json"
OCI_CONFIG, OCI_LAYER_GZIP = f"{OCI}.config.v1+json", f"{OCI}.layer.v1.tar+gzip"
DOCKER_LIST, DOCKER_MANIFEST = f"{DOCKER}.manifest.list.v2+json", f"{DOCKER}.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = f"{DOCKER_LAYER}.gzip"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
ACCEPTED = (DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, "*/*")
# containerd reads no more of a manifest; bounds what a registry can make us hold.
MAX_MANIFEST = 8 << 20


class Descriptor(Struct, frozen=True):
    """Content by type, digest and size."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None


class Manifest(Struct, frozen=True):
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True)
class ImageConfig:
    """The part of an image's config that unpacking needs, and the whole document."""

    diff_ids: tuple[str, ...]
    platform: Platform
    document: dict[str, Any] = field(hash=False)


def choose(candidates: Sequence[Descriptor], wanted: Platform) -> Descriptor:
    """The manifest of an index for this platform; raises NotFound that names what there is and what is wanted."""
    ranked = [
        (place, candidate)
        for candidate in candidates
        if candidate.platform and (place := rank(candidate.platform, wanted)) is not None
    ]
    if ranked:
        return min(ranked, key=lambda pair: pair[0])[1]
    # Only descriptors that say no platform can still be ours: their config will tell.
    unnamed = [candidate for candidate in candidates if candidate.platform is None]
    if not unnamed:
        raise NotFound(mismatch((each.platform for each in candidates if each.platform), wanted))
    return unnamed[0]


def check_platform(config: ImageConfig, wanted: Platform) -> None:
    """Raises NotFound where the image of `config` is for another machine; one that doesn't say is taken as ours."""
    said = config.platform
    if said.architecture and rank(replace(said, variant=""), replace(wanted, variant="")) is None:
        raise NotFound(mismatch((said,), wanted))


def parse_index(body: bytes) -> tuple[Descriptor, ...]:
    """The manifests of an index, in order."""
    document = _document(body)
    return tuple(
        descriptor
        for descriptor in (_descriptor(entry) for entry in _list(document, "manifests"))
        if descriptor.media_type in MANIFESTS
    )


def parse_manifest(body: bytes) -> Manifest:
    """The config and layers of an image manifest; raises InvalidArgument for schema 1 and malformed ones."""
    document = _document(body)
    if document.get("schemaVersion") == 1:
        raise InvalidArgument("media type application/vnd.docker.distribution.manifest.v1+prettyjws is not supported")
    return Manifest(_descriptor(document.get("config")), tuple(_descriptor(e) for e in _list(document, "layers")))


def parse_config(body: bytes) -> ImageConfig:
    """The config document of an image; raises InvalidArgument for a malformed one."""
    document = _document(body)
    rootfs = document.get("rootfs")
    diff_ids = _list(rootfs, "diff_ids") if isinstance(rootfs, dict) else []
    if not all(isinstance(diff_id, str) and is_digest(diff_id) for diff_id in diff_ids):
        raise InvalidArgument("image config has a malformed diff id")
    return ImageConfig(tuple(diff_ids), _platform(document) or Platform("linux", ""), document)


def media_type_of(body: bytes, declared: str) -> str:
    """The type of a manifest document: what the registry declares, else what the document says or looks like."""
    declared = declared.partition(";")[0].strip()
    if declared in INDEXES | MANIFESTS:
        return declared
    document = _document(body)
    said = document.get("mediaType")
    if isinstance(said, str) and said in INDEXES | MANIFESTS:
        return said
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"malformed image document: {error}") from error
    if not isinstance(document, dict):
        raise InvalidArgument("malformed image document: not an object")
    return document


def _list(document: dict[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else []


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise InvalidArgument("malformed image document: descriptor missing")
    digest, size, media_type = value.get("digest"), value.get("size"), value.get("mediaType", "")
    if not isinstance(digest, str) or not is_digest(digest):
        raise InvalidArgument(f"malformed image document: invalid digest {digest!r}")
    if not isinstance(size, int) or size < 0 or not isinstance(media_type, str):
        raise InvalidArgument(f"malformed image document: invalid descriptor of {digest}")
    return Descriptor(media_type, digest, size, _platform(value.get("platform")))


def _platform(value: object) -> Platform | None:
    if not isinstance(value, dict):
        return None
    system, architecture, variant = value.get("os"), value.get("architecture"), value.get("variant", "")
    if not isinstance(system, str) or not isinstance(architecture, str) or not isinstance(variant, str):
        return None
    return Platform(system, architecture, variant)
