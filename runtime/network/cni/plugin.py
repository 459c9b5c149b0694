"""One call of a CNI plugin: parameters in the environment, JSON in and out (CNI specification, 2 and 4)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machinery.structs import Struct
from runtime.errors import FailedPrecondition, Unknown

FOLDERS = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))
"""Where plugins are: as containerd has it, Debian, Fedora."""
INTERFACE = "eth0"
LONGEST_SECONDS = 90
"""Less than the two minutes that a kubelet waits for a sandbox."""
_PACKAGED = ("bridge", "ptp", "host-local", "portmap", "loopback", "ipvlan", "macvlan", "firewall", "tuning", "dhcp")


class Attachment(Struct, frozen=True):
    """Who is attached: `netns` is empty where the namespace is gone."""

    container_id: str
    netns: str
    arguments: str


def find(kind: str, folders: Sequence[Path]) -> Path:
    """The plugin's program; raises FailedPrecondition with how to get it."""
    for folder in folders:
        if os.access(folder / kind, os.X_OK):
            return folder / kind
    hint = "; apt-get install containernetworking-plugins" if kind in _PACKAGED else ""
    places = " ".join(map(str, folders))
    raise FailedPrecondition(f'failed to find plugin "{kind}" in path [{places}]{hint}')


def call(
    command: str, configuration: Mapping[str, Any], attached: Attachment, folders: Sequence[Path]
) -> dict[str, Any]:
    """What the plugin answers, {} where it says nothing; raises Unknown in its words. Blocks."""
    kind = str(configuration["type"])
    program = find(kind, folders)
    environment = {
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": attached.container_id,
        "CNI_NETNS": attached.netns,
        "CNI_IFNAME": INTERFACE,
        "CNI_ARGS": attached.arguments,
        "CNI_PATH": ":".join(map(str, folders)),
    }
    failed = f'plugin type="{kind}" failed ({command.lower()})'
    try:
        done = subprocess.run(
            [program],
            input=json.dumps(configuration).encode(),
            capture_output=True,
            env=environment,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unknown(f"{failed}: no answer in {LONGEST_SECONDS} seconds") from None
    except OSError as error:
        raise Unknown(f"{failed}: {error}") from error
    if done.returncode:
        raise Unknown(f"{failed}: {_words(done.stdout, done.stderr, done.returncode)}")
    try:
        answer = json.loads(done.stdout) if done.stdout.strip() else {}
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Unknown(f"{failed}: the answer is no JSON object: {done.stdout[:200].decode(errors='replace')}")
    return answer


def _words(out: bytes, err: bytes, status: int) -> str:
    """The error's message and details as the plugin told them; what else it said, where it told none."""
    try:
        told = json.loads(out)
        message, details = str(told["msg"]), str(told.get("details") or "")
    except (ValueError, KeyError, TypeError):
        said = (err.strip() or out.strip()).decode(errors="replace")
        return f"netplugin failed with exit status {status}: {said}" if said else f"exit status {status}"
    return f"{message}; {details}" if details else message
