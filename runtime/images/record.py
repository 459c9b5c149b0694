"""An image as the runtime's clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ImageRecord:
    """`id` is the config's digest; `config` the whole config document (its `config` key has Cmd, Env, User, …).

    `targets` holds for each name the digest of the manifest or index that it means; `labels` what clients of the
    containerd API wrote on a name. A `pinned` image was loaded by hand, or somebody said so: it is never collected.
    """

    id: str
    repo_tags: tuple[str, ...]
    repo_digests: tuple[str, ...]
    size: int
    config: dict[str, Any] = field(hash=False)
    manifest: str = ""
    layers: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()
    pinned: bool = False
    targets: Mapping[str, str] = field(default_factory=dict, hash=False)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Every reference that means this image, but for its id."""
        return self.repo_tags + self.repo_digests

    def target(self, name: str) -> str:
        """The digest of the manifest or index that `name` means."""
        return self.targets.get(name) or name.partition("@")[2] or self.manifest
