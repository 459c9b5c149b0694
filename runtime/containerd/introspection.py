"""The service `introspection`: which server this is, and which services it has (`ctr version`, `ctr plugins list`)."""

from __future__ import annotations

import uuid
from typing import Any

from runtime.containerd.filters import adaptor, any_of
from runtime.containerd.messages import make
from runtime.images.platform import host_platform

GRPC = "io.containerd.grpc.v1"


class IntrospectionService:
    """`plugins` are pairs of type and id."""

    def __init__(self, instance: str, plugins: tuple[tuple[str, str], ...]) -> None:
        self._uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, instance))
        self._plugins = plugins

    async def Server(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        return make("introspection", "ServerResponse", uuid=self._uuid)

    async def Plugins(self, request: Any, context: Any) -> Any:  # noqa: N802
        here = host_platform()
        platforms = [{"os": here.os, "architecture": here.architecture, "variant": here.variant}]
        passes = any_of(request.filters)
        plugins = [
            make("introspection", "Plugin", type=sort, id=name, platforms=platforms)
            for sort, name in self._plugins
            if passes(adaptor({"type": sort, "id": name}))
        ]
        return make("introspection", "PluginsResponse", plugins=plugins)
