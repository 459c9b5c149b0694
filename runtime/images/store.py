"""Which images there are and what they are called: one small file, replaced whole, so a kill leaves the old or the new.

Reads are from memory and don't block; `put` and `remove` write and block.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from machinery.structs import replace
from runtime.errors import FailedPrecondition, InvalidArgument, NotFound
from runtime.images.content import write_atomically
from runtime.images.record import ImageRecord
from runtime.images.reference import Reference, parse_reference

SCHEMA = 1
_ID = re.compile(r"(?:sha256:)?([a-f0-9]{64})")


def spelling(name: str) -> str:
    """The one spelling of a name or id that records are kept under; raises InvalidArgument."""
    if match := _ID.fullmatch(name):
        return f"sha256:{match.group(1)}"
    reference = parse_reference(name)
    return f"{reference.repository}@{reference.digest}" if reference.digest else str(reference)


def tag_name(reference: Reference) -> str:
    """The repo tag that a pull of `reference` sets; empty if it names a digest."""
    return "" if reference.digest else str(reference)


class ImageStore:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()
        self._images: dict[str, ImageRecord] = {}
        if path.exists():
            self._images = _read(path)

    def list(self) -> list[ImageRecord]:
        return list(self._images.values())

    def get(self, ref_or_id: str) -> ImageRecord | None:
        """The image with this id, or that this name means now."""
        try:
            name = spelling(ref_or_id)
        except InvalidArgument:
            return None
        if name in self._images:
            return self._images[name]
        return next((image for image in self._images.values() if name in image.names), None)

    def put(self, image: ImageRecord) -> ImageRecord:
        """Adds the image, or its names to what is there; its tags leave the images that had them.

        One that loses its last tag so is no longer kept by hand: a newer build has taken its place.
        """
        with self._writing:
            known = self._images.get(image.id)
            images = {
                other.id: other if other is known else _without(other, image.repo_tags)
                for other in self._images.values()
            }
            merged = _merged(known, image) if known else image
            images[image.id] = merged
            self._write(images)
            return merged

    def remove(self, ref_or_id: str) -> ImageRecord | None:
        """Forgets the image under all its names; what it was, or None."""
        with self._writing:
            image = self.get(ref_or_id)
            if image is not None:
                self._write({key: value for key, value in self._images.items() if key != image.id})
            return image

    def untag(self, name: str) -> ImageRecord | None:
        """Takes one name away, and the image with its last; what is left of it, None where nothing is.

        Raises NotFound where no image has the name.
        """
        with self._writing:
            image = self.get(name)
            if image is None:
                raise NotFound(f'image "{name}": not found')
            spelled = spelling(name)
            left = replace(
                image,
                repo_tags=tuple(tag for tag in image.repo_tags if tag != spelled),
                repo_digests=tuple(digest for digest in image.repo_digests if digest != spelled),
            )
            kept = left if left.names and left != image else None
            others = {key: value for key, value in self._images.items() if key != image.id}
            self._write({**others, image.id: kept} if kept else others)
            return kept

    def describe(self, name: str, *, labels: Mapping[str, str], pinned: bool) -> ImageRecord:
        """Sets the labels of a name, and whether its image is pinned; raises NotFound."""
        with self._writing:
            image = self.get(name)
            if image is None:
                raise NotFound(f'image "{name}": not found')
            described = replace(image, pinned=pinned, labels={**image.labels, spelling(name): dict(labels)})
            self._write({**self._images, image.id: described})
            return described

    def _write(self, images: dict[str, ImageRecord]) -> None:
        document = {"schema": SCHEMA, "images": [_encoded(image) for image in images.values()]}
        write_atomically(self._path, json.dumps(document).encode())
        self._images = images


def _read(path: Path) -> dict[str, ImageRecord]:
    try:
        document = json.loads(path.read_bytes())
        if document["schema"] != SCHEMA:
            raise FailedPrecondition(f"{path} was written by another version (schema {document['schema']})")
        return {entry["id"]: _decoded(entry) for entry in document["images"]}
    except (ValueError, KeyError, TypeError) as error:
        raise FailedPrecondition(f"{path} is damaged ({error}); remove it and images are pulled anew") from error


def _without(image: ImageRecord, tags: tuple[str, ...]) -> ImageRecord:
    left = tuple(tag for tag in image.repo_tags if tag not in tags)
    return replace(image, repo_tags=left, pinned=image.pinned and (left == image.repo_tags or bool(left)))


def _merged(known: ImageRecord, image: ImageRecord) -> ImageRecord:
    return replace(
        image,
        repo_tags=_union(known.repo_tags, image.repo_tags),
        repo_digests=_union(known.repo_digests, image.repo_digests),
        pinned=known.pinned or image.pinned,
        targets={**known.targets, **image.targets},
        labels={**known.labels, **image.labels},
    )


def _union(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))


def _encoded(image: ImageRecord) -> dict[str, Any]:
    return {name: getattr(image, name) for name in ImageRecord.__dataclass_fields__}


def _decoded(entry: dict[str, Any]) -> ImageRecord:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    return ImageRecord(**fields)
