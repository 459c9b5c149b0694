"""What a network of sandboxes is: the built-in bridge, or what the user's CNI configuration names. All of it blocks."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from machinery.structs import Struct
from runtime.network.rules import Forward


class Port(Struct, frozen=True):
    """A port of the sandbox that is wanted on the host, at one of its addresses or (empty) at all."""

    protocol: str
    host_ip: str
    host_port: int
    port: int


class Member(Struct, frozen=True):
    """A sandbox as its network knows it; `uid`, `name` and `namespace` are those of whom it is for."""

    id: str
    name: str
    namespace: str
    uid: str
    file: Path
    """Its network namespace."""
    ports: tuple[Port, ...] = ()


class Network(Protocol):
    def set_up(self) -> None:
        """Makes what all sandboxes share, again where it is there; raises Internal."""

    def trouble(self) -> str:
        """Why no sandbox can be attached; empty where it can."""

    def attach(self, member: Member) -> tuple[str, ...]:
        """The sandbox's addresses, the first to reach it by; raises a RuntimeFault, and nothing is left then."""

    def detach(self, sandbox_id: str) -> None:
        """Takes away what `attach` made, also half of it; nothing where there is none."""

    def is_attached(self, sandbox_id: str) -> bool:
        """Whether what `attach` made is all there still."""

    def publish(self, forwards: Collection[Forward]) -> None:
        """Makes these the ports of the host that lead into sandboxes; raises Internal."""

    def keep_only(self, sandbox_ids: set[str]) -> None:
        """Detaches all sandboxes but these."""

    def link(self, sandbox_id: str) -> str:
        """The name of the host's end of the sandbox's network; empty where it has none."""

    def tear_down(self) -> None:
        """Removes what all sandboxes share."""
