"""What the runtime knows of a pod now, with what its containers said of their ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kubelet.cri import Cri
from kubelet.podfiles import with_messages
from kubelet.podstate import PodState


async def observe(cri: Cri, uid: str, directory: Path) -> PodState:
    state = await cri.pod(uid)
    if any(container.has_ended for container in state.containers):
        return await asyncio.to_thread(with_messages, state, directory)
    return state
