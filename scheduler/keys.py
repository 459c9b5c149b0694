"""How the scheduler names a pod: by its place and its uid, so that a namesake made later is another."""

from __future__ import annotations

from typing import NamedTuple

from machinery.api.views import Pod


class PodKey(NamedTuple):
    namespace: str
    name: str
    uid: str

    @classmethod
    def of(cls, pod: Pod) -> PodKey:
        return cls(pod.namespace, pod.name, pod.uid)
