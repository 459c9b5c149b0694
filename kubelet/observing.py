"""What the runtime knows of a pod now, with what its containers said of their ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kubelet.cri import Cri
from kubelet.podfiles import with_messages
from kubelet.podstate import PodState


class PodObserver:
    """Looks for the pod's sandboxes once; after that no others come to be but those that it is told of."""

    def __init__(self, cri: Cri, uid: str, directory: Path) -> None:
        self._cri, self._uid, self._directory = cri, uid, directory
        self._sandboxes: tuple[str, ...] | None = None

    async def observe(self) -> PodState:
        state = await self._cri.pod(self._uid, self._sandboxes)
        self._sandboxes = tuple(sandbox.id for sandbox in state.sandboxes)
        if any(container.has_ended for container in state.containers):
            return await asyncio.to_thread(with_messages, state, self._directory)
        return state

    def expect(self, sandbox_id: str) -> None:
        """A sandbox was made."""
        self._sandboxes = (sandbox_id, *(self._sandboxes or ()))

    def forget(self) -> None:
        """It was tried to make one, and what came of it isn't known."""
        self._sandboxes = None
