"""An image as the runtime's clients see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ImageRecord:
    """`id` is the config's digest; `config` the whole config document (its `config` key has Cmd, Env, User, …)."""

    id: str
    repo_tags: tuple[str, ...]
    repo_digests: tuple[str, ...]
    size: int
    config: dict[str, Any] = field(hash=False)
    manifest: str = ""
    layers: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every reference that means this image."""
        return self.repo_tags + self.repo_digests
