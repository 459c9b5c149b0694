"""The service `version`: which server answers (`ctr version`)."""

from __future__ import annotations

from typing import Any

from runtime.config import NAME, VERSION
from runtime.containerd.messages import make


class VersionService:
    """One method an RPC, named as the RPC."""

    async def Version(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        return make("version", "VersionResponse", version=VERSION, revision=NAME)
