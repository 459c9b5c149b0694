"""What a pod's status is computed from beside the pod and the runtime's state of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from kubelet.actions import Verdicts
from machinery.api.resource import Object
from machinery.structs import Struct, field

EPOCH = "1970-01-01T00:00:00Z"


class Trouble(Struct, frozen=True):
    """Why a container waits: the reason and message of its `waiting` state."""

    reason: str
    message: str = ""


class Resizing(Struct, frozen=True):
    """A resize under way: its conditions, and what containers have that is not yet what their spec says."""

    conditions: tuple[Object, ...] = ()
    before: Mapping[str, Object] = field(default_factory=dict)


class StatusInput(Struct, frozen=True):
    """`troubles` by container name; `unbounded_memory` is the pod cgroup's limit where the host states one anyway."""

    now: datetime
    host_ips: tuple[str, ...]
    runtime: str
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    verdicts: Verdicts = field(default_factory=Verdicts)
    has_ended: bool = False
    unbounded_memory: str = ""
    failure: Trouble | None = None
    """The pod as a whole is failed: Evicted, DeadlineExceeded."""
    resizing: Resizing = field(default_factory=Resizing)


def timestamp(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else EPOCH
