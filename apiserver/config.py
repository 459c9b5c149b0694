"""What the API server is told at its start; read once, passed down, never looked up elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from machinery.features import FEATURES
from machinery.pki import Pki
from machinery.structs import Struct, field


class ApiServerConfig(Struct, frozen=True):
    """`bind` and `port` are where it listens (port 0: any free one), `advertise_address` what the
    `kubernetes` Service points to. `service_cidrs` give Services their addresses, one a family, the default first."""

    data_dir: Path
    pki: Pki
    bind: Sequence[str] = ("127.0.0.1",)
    port: int = 6443
    advertise_address: str = "127.0.0.1"
    tls_sans: Sequence[str] = ()
    service_cidrs: Sequence[str] = ("10.96.0.0/16",)
    node_ports: tuple[int, int] = (30000, 32767)
    feature_flags: Mapping[str, bool] = field(default_factory=lambda: FEATURES)
    version: str = "v1.36.2"
