"""Programs of the host that a cluster keeps as its children: a local registry, and an etcd of its own.

`children.json` in the data directory names them with their ports, so that every start runs them again and
`uninstall` removes them with the data. Both listen on loopback alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from machinery.structs import Struct
from minikube_py.config import Config
from minikube_py.instance import InstanceError

LOG = logging.getLogger("children")


class Child(Struct, frozen=True):
    """`argv` gives the command for (config, port), after writing what it needs; `data` is its folder's name."""

    name: str
    program: str
    package: str
    argv: Callable[[Config, int], list[str]]


def _registry(config: Config, port: int) -> list[str]:
    settings = config.run_dir / "registry.yml"
    settings.write_text(
        "version: 0.1\nlog: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: {config.data_dir}/registry}}, delete: {{enabled: true}}}}\n"
        f'http: {{addr: "127.0.0.1:{port}"}}\n'
    )
    return ["serve", str(settings)]


def _etcd(config: Config, port: int) -> list[str]:
    url, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
    options = {
        "name": config.context,
        "data-dir": f"{config.data_dir}/etcd",
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{config.context}={peer}",
        "quota-backend-bytes": str(2 << 30),
    }
    return [f"--{key}={value}" for key, value in options.items()]


REGISTRY = Child("registry", "docker-registry", "docker-registry", _registry)
ETCD = Child("etcd", "etcd", "etcd-server", _etcd)
CHILDREN = (ETCD, REGISTRY)


def ports(config: Config) -> dict[str, int]:
    """The children that this cluster was set up with: name -> port."""
    try:
        found: dict[str, int] = json.loads(_file(config).read_text())
    except FileNotFoundError:
        return {}
    return found


def set_up(config: Config, child: Child) -> str:
    """The URL at which the child will answer from the next start on; the same one every time."""
    known = ports(config)
    if child.name not in known:
        known[child.name] = _free_pair()
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        _file(config).write_text(json.dumps(known))
    return f"http://127.0.0.1:{known[child.name]}"


async def run(config: Config, child: Child, port: int) -> None:
    """Runs the child until cancelled, and starts it again whenever it ends; raises InstanceError where it's missing."""
    program = shutil.which(child.program)
    if program is None:
        raise InstanceError(f"{child.program} is missing; apt-get install {child.package}")
    delay = 0.2
    while True:
        with _log(config, child) as log:
            process = await asyncio.create_subprocess_exec(
                # A child whose cluster was killed would keep its port from the next start.
                *("setpriv", "--pdeathsig", "TERM", program),
                *child.argv(config, port),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ.get("PATH", "/usr/bin"), "OTEL_TRACES_EXPORTER": "none"},
                start_new_session=True,
            )
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            process.send_signal(signal.SIGTERM)
            await asyncio.shield(process.wait())
            raise
        LOG.warning("%s ended with status %s; starting it again", child.name, status)
        await asyncio.sleep(delay)
        delay = min(delay * 2, 30.0)


async def answering(port: int, seconds: float) -> None:
    """Returns once something accepts connections on the port; raises InstanceError after `seconds`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if loop.time() > end:
                raise InstanceError(f"nothing answers on port {port} after {seconds:.0f} s") from None
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


def _log(config: Config, child: Child) -> BinaryIO:
    return open(config.data_dir / f"{child.name}.log", "ab")


def _file(config: Config) -> Path:
    return config.data_dir / "children.json"


def _free_pair() -> int:
    """A free port of loopback whose successor is free too (etcd wants one for its peers)."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
