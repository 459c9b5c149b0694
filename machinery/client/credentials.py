"""What a kubeconfig says: where the API server is, how to trust it, and as whom to ask."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

from machinery.structs import Struct


class KubeconfigError(ValueError):
    """The kubeconfig lacks what a client needs; the message says what."""


class Credentials(Struct, frozen=True):
    """Bytes are PEM; either a certificate with its key or a token says who asks."""

    server: str
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""

    @classmethod
    def from_kubeconfig(cls, path: Path, context: str = "") -> Credentials:
        """Those of `context`, of the current one where it is not said."""
        import yaml

        document = yaml.safe_load(path.read_text()) or {}
        chosen = _named(document, "contexts", "context", context or document.get("current-context") or "")
        cluster = _named(document, "clusters", "cluster", chosen.get("cluster") or "")
        user = _named(document, "users", "user", chosen.get("user") or "")
        if not cluster.get("server"):
            raise KubeconfigError(f"{path}: the cluster has no server")
        return cls(
            server=cluster["server"],
            ca=_content(path, cluster, "certificate-authority"),
            certificate=_content(path, user, "client-certificate"),
            key=_content(path, user, "client-key"),
            token=user.get("token") or "",
        )

    def tls(self, directory: Path) -> ssl.SSLContext:
        """A context that trusts the CA alone; `directory` is private, as Python loads keys from files only."""
        context = ssl.create_default_context(cadata=self.ca.decode() if self.ca else None)
        if self.certificate:
            pair = directory / "client.pem"
            pair.touch(mode=0o600)
            pair.write_bytes(self.certificate + b"\n" + self.key)
            try:
                context.load_cert_chain(pair)
            finally:
                pair.unlink()
        return context


def _named(document: dict[str, Any], section: str, field: str, name: str) -> dict[str, Any]:
    for entry in document.get(section) or ():
        if entry.get("name") == name:
            found: dict[str, Any] = entry.get(field) or {}
            return found
    raise KubeconfigError(f'the kubeconfig has no {field} "{name}"')


def _content(path: Path, entry: dict[str, Any], field: str) -> bytes:
    """Inline data, or a file that is named relative to the kubeconfig."""
    if data := entry.get(f"{field}-data"):
        return base64.b64decode(str(data))
    if name := entry.get(field):
        return (path.parent / str(name)).read_bytes()
    return b""
