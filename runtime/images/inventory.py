"""The image that blobs in the content store make up: read, checked to be whole, and described as a record. Blocks."""

from __future__ import annotations

from urllib.parse import urlsplit

from machinery.structs import replace
from runtime.errors import InvalidArgument, NotFound
from runtime.images.content import ContentStore
from runtime.images.media import (
    INDEXES,
    ImageConfig,
    Manifest,
    check_platform,
    choose,
    media_type_of,
    parse_config,
    parse_index,
    parse_manifest,
)
from runtime.images.platform import Platform
from runtime.images.record import ImageRecord
from runtime.images.reference import Reference

SOURCE = "containerd.io/distribution.source."
"""What labels begin with that tell from which registry (host, then path as the value) a blob came."""


def source_label(reference: Reference) -> str:
    """The label of that registry; it names the host without its port, as containerd's clients do."""
    return SOURCE + (urlsplit(f"//{reference.domain}").hostname or reference.domain)


def image_record(
    manifest_digest: str, manifest: Manifest, config: ImageConfig, tags: tuple[str, ...], repo_digest: str
) -> ImageRecord:
    """The image that `manifest` describes; its size is what a registry would send."""
    target = repo_digest.partition("@")[2] or manifest_digest
    return ImageRecord(
        id=manifest.config.digest,
        repo_tags=tags,
        repo_digests=(repo_digest,) if repo_digest else (),
        size=manifest.config.size + sum(layer.size for layer in manifest.layers),
        config=config.document,
        manifest=manifest_digest,
        layers=tuple(layer.digest for layer in manifest.layers),
        diff_ids=config.diff_ids,
        targets={tag: target for tag in tags},
    )


def stored_image(content: ContentStore, target: str, reference: Reference | None, platform: Platform) -> ImageRecord:
    """The image of the manifest or index `target` for this platform, called by `reference`.

    Raises NotFound where a blob of it is missing or it is for other machines. Where no registry is known to have it,
    it is pinned: nothing could bring it back.
    """
    body = content.read(target)
    digest = target
    if media_type_of(body, "") in INDEXES:
        digest = choose(parse_index(body), platform).digest
        body = content.read(digest)
    manifest = parse_manifest(body)
    config = parse_config(content.read(manifest.config.digest))
    check_platform(config, platform)
    if len(config.diff_ids) != len(manifest.layers):
        raise InvalidArgument(f"mismatched image rootfs and manifest layers in {digest}")
    for layer in manifest.layers:
        if not content.has(layer.digest):
            raise NotFound(f"content digest {layer.digest}: not found")
    sources = {**content.labels(target), **content.labels(digest)}
    has_source = any(label.startswith(SOURCE) for label in sources)
    tags = (str(reference),) if reference and not reference.digest else ()
    repo_digest = ""
    if reference and (reference.digest or source_label(reference) in sources):
        repo_digest = f"{reference.repository}@{target}"
    return replace(
        image_record(digest, manifest, config, tags, repo_digest),
        pinned=not has_source,
        targets=dict.fromkeys(tags, target),
    )
