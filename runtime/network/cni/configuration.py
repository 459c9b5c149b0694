"""A CNI network configuration list as files have it (CNI specification 1.0.0, section 1).

The first file of the folder by name counts, as with containerd and CRI-O: `*.conflist`, or one plugin alone in a
`*.conf` or `*.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machinery.structs import Struct
from runtime.errors import FailedPrecondition

FOLDER = Path("/etc/cni/net.d")
_SUFFIXES = (".conf", ".conflist", ".json")


class NetworkList(Struct, frozen=True):
    """`plugins` in the order in which they add."""

    name: str
    version: str
    plugins: tuple[Mapping[str, Any], ...]

    @property
    def maps_ports(self) -> bool:
        """Whether one of the plugins takes the ports that are wanted on the host."""
        return any((plugin.get("capabilities") or {}).get("portMappings") for plugin in self.plugins)

    def told(self) -> dict[str, Any]:
        """As a configuration file has it."""
        listed = [dict(plugin) for plugin in self.plugins]
        return {"cniVersion": self.version, "name": self.name, "plugins": listed}


def file_of(folder: Path) -> Path | None:
    """The file that counts."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    except OSError:
        return None
    return found[0] if found else None


def load(path: Path) -> NetworkList:
    """Raises FailedPrecondition, which names the file and what is wrong in it."""
    try:
        return parse(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise FailedPrecondition(f"error loading CNI config file {path}: {error}") from error


def parse(said: Any) -> NetworkList:
    """The list that a file's JSON tells, one plugin alone being a list of one; raises ValueError."""
    if not isinstance(said, dict):
        raise ValueError("no JSON object")
    name, version = said.get("name"), said.get("cniVersion") or "0.1.0"
    if not isinstance(name, str) or not name:
        raise ValueError("no 'name'")
    plugins = said.get("plugins", [said])
    if not isinstance(plugins, list) or not plugins:
        raise ValueError("no 'plugins'")
    for plugin in plugins:
        if not isinstance(plugin, dict) or not isinstance(plugin.get("type"), str) or not plugin["type"]:
            raise ValueError("a plugin has no 'type'")
        if "/" in plugin["type"]:
            raise ValueError(f"a plugin's type is a name, not a path: {plugin['type']!r}")
    return NetworkList(name, str(version), tuple(plugins))
