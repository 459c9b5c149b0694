"""What of a pod its containers and volumes are judged by, gathered once for all of them."""

from __future__ import annotations

from collections.abc import Mapping

from machinery.api.resource import Object
from machinery.structs import Struct, field


class Surroundings(Struct):
    """`volumes` are the sound ones by name. `file_variables` grows while environments are read: the path and name of
    each volume that a variable's file lies in, judged at the end as upstream does."""

    volumes: Mapping[str, Object]
    claims: frozenset[str] = frozenset()
    restart_policy: str = "Always"
    grace_period: int | None = None
    os: str | None = None
    has_host_users: bool = True
    file_variables: list[tuple[str, str]] = field(default_factory=list)
