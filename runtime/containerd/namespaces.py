"""The service `namespaces`: there is one, k8s.io, and it can't be removed."""

from __future__ import annotations

from typing import Any

from runtime.containerd.caller import NAMESPACE
from runtime.containerd.messages import make
from runtime.errors import AlreadyExists, FailedPrecondition, NotFound


class NamespacesService:
    """`snapshotter` is the one that clients use where they don't name any."""

    def __init__(self, snapshotter: str) -> None:
        # Clients fall back to overlayfs by themselves.
        own = {"containerd.io/defaults/snapshotter": snapshotter} if snapshotter != "overlayfs" else {}
        self._namespace = make("namespaces", "Namespace", name=NAMESPACE, labels=own)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802 - the RPC's name
        return make("namespaces", "ListNamespacesResponse", namespaces=[self._namespace])

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name != NAMESPACE:
            raise NotFound(f'namespace "{request.name}": not found')
        return make("namespaces", "GetNamespaceResponse", namespace=self._namespace)

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.namespace.name == NAMESPACE:
            raise AlreadyExists(f'namespace "{NAMESPACE}": already exists')
        raise FailedPrecondition(f"this runtime has the namespace {NAMESPACE} alone: failed precondition")

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name != NAMESPACE:
            raise NotFound(f'namespace "{request.name}": not found')
        raise FailedPrecondition(f'namespace "{NAMESPACE}" must be empty: failed precondition')
