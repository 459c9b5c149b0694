"""`/etc/containerd/certs.d`: the servers and certificates of registries, as people write them for containerd.

A registry's folder is named as its host (`registry.example_5000_` or `registry.example:5000` with a port), or it is
`_default`, and holds a `hosts.toml`
(https://github.com/containerd/containerd/blob/main/docs/hosts.md) or, without one, certificates as Docker lays them
out: `*.crt` of authorities, `*.cert` and `*.key` of this client.
"""

from __future__ import annotations

import posixpath
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runtime.errors import InvalidArgument
from runtime.images.hosts import EVERYTHING, Host, Trust, origin

CERTS_D = Path("/etc/containerd/certs.d")


def configured_hosts(domain: str, root: Path = CERTS_D) -> tuple[Host, ...]:
    """What the folder says of `domain`, in order; nothing where it says nothing. Raises InvalidArgument. Blocks."""
    folder = next((root / name for name in folders(domain) if (root / name).is_dir()), None)
    if folder is None:
        return ()
    file = folder / "hosts.toml"
    try:
        return parse_hosts(file.read_text(), folder, domain)
    except FileNotFoundError:
        names = sorted(path.name for path in folder.iterdir())
        return (origin(domain, docker_trust(names, folder)),)
    except (ValueError, OSError) as error:
        raise InvalidArgument(f"{file}: {error}") from error


def folders(domain: str) -> tuple[str, ...]:
    """The names that a registry's folder may have, the best first."""
    host, colon, port = domain.rpartition(":")
    return (*((f"{host}_{port}_",) if colon and port.isdecimal() else ()), domain, "_default")


def parse_hosts(text: str, folder: Path, domain: str) -> tuple[Host, ...]:
    """The hosts of a `hosts.toml` as it orders them, and its server last. Pure; raises ValueError."""
    document = tomllib.loads(text)
    hosts = document.get("host", {})
    if not isinstance(hosts, dict) or not all(isinstance(entry, dict) for entry in hosts.values()):
        raise ValueError("host is no table of tables")
    listed = [_host(server, entry, folder, domain) for server, entry in hosts.items()]
    server = document.get("server") or origin(domain).root.removesuffix("/v2")
    return (*listed, _host(_string("server", server), document, folder, domain))


def _host(server: str, entry: Mapping[str, Any], folder: Path, domain: str) -> Host:
    url = urlsplit(server if server.startswith("http") else f"https://{server}")
    if not url.netloc:
        raise ValueError(f"unable to parse server {server}")
    path = posixpath.normpath(url.path) if url.path.strip("/") else ""
    if not entry.get("override_path") and not path.endswith("/v2"):
        path += "/v2"
    root = f"{url.scheme}://{url.netloc}{path}"
    own = (domain, origin(domain).name)
    return Host(
        root,
        "" if url.netloc in own else domain,
        _capabilities(entry.get("capabilities") or []),
        tuple(_headers(entry.get("header") or {})),
        Trust(
            tuple(folder / path for path in _strings("ca", entry.get("ca") or [])),
            tuple(_pairs(entry.get("client") or [], folder)),
            entry.get("skip_verify") is True,
        ),
    )


def _capabilities(names: Any) -> frozenset[str]:
    found = frozenset(name.lower() for name in _strings("capabilities", names))
    if strange := found - EVERYTHING:
        raise ValueError(f"unknown capability {', '.join(sorted(strange))}")
    return found or EVERYTHING


def _headers(table: Any) -> list[tuple[str, str]]:
    if not isinstance(table, dict):
        raise ValueError("header is no table")
    return [(name, value) for name, values in table.items() for value in _strings(f"header {name}", values)]


def _pairs(value: Any, folder: Path) -> list[tuple[Path, Path | None]]:
    """One file, several, or pairs of certificate and key."""
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list):
        raise ValueError('invalid type for "client"')
    found: list[tuple[Path, Path | None]] = []
    for entry in entries:
        if isinstance(entry, str):
            found.append((folder / entry, None))
            continue
        names = _strings("client", entry)
        if len(names) != 2:
            raise ValueError(f'invalid pair {entry} for "client"')
        found.append((folder / names[0], folder / names[1] if names[1] else None))
    return found


def docker_trust(names: list[str], folder: Path) -> Trust:
    """The certificates in a folder as Docker names them. Pure."""
    authorities = tuple(folder / name for name in names if name.endswith(".crt"))
    clients = tuple(
        (folder / name, folder / key if (key := f"{name.removesuffix('.cert')}.key") in names else None)
        for name in names
        if name.endswith(".cert")
    )
    return Trust(authorities, clients)


def _strings(name: str, value: Any) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise ValueError(f'invalid type for "{name}"')
    return values


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f'invalid type for "{name}"')
    return value
