"""`logs --export DIR`: what somebody else needs to see what was wrong: logs, objects, events, and the machine's state.

Secrets are left out: a bundle is made to be passed on.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from minikube_py import preflight, systemd
from minikube_py.api import Api, ApiError
from minikube_py.cli import status
from minikube_py.config import Config
from minikube_py.instance import running_pid


def export(config: Config, directory: Path) -> list[str]:
    """Writes the bundle's files into `directory`, which is made; their names. What can't be had says so in its file."""
    directory.mkdir(parents=True, exist_ok=True)
    written: list[str] = []

    def put(name: str, make: Callable[[], str]) -> None:
        try:
            text = make()
        except (OSError, ApiError, KeyError, subprocess.SubprocessError) as error:
            text = f"not available: {error}\n"
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(name)

    put("status.json", lambda: _json(status.collect(config)))
    put(
        "doctor.txt",
        lambda: "".join(f"{each.level:8} {each.check:12} {each.found}\n" for each in preflight.findings(config)),
    )
    put("cluster.log", lambda: _log(config))
    put("host/nftables.txt", lambda: _said("nft", "list", "ruleset"))
    put("host/links.txt", lambda: _said("ip", "-details", "address"))
    put("host/routes.txt", lambda: _said("ip", "route", "show", "table", "all"))
    put("host/mounts.txt", lambda: Path("/proc/self/mountinfo").read_text())
    if running_pid(config):
        _objects(Api(config), put)
    return written


def _objects(api: Api, put: Callable[[str, Callable[[], str]], None]) -> None:
    try:
        rows = api.listable()
    except ApiError as error:
        said = f"{error}\n"
        put("objects/error.txt", lambda: said)
        return
    for each in rows:
        if (each.group, each.name) != ("", "secrets"):
            put(f"objects/{each.group or 'core'}/{each.name}.json", partial(_asked, api, each.path()))
    _container_logs(api, put)


def _container_logs(api: Api, put: Callable[[str, Callable[[], str]], None]) -> None:
    try:
        pods = api.get("/api/v1/pods")["items"]
    except ApiError:
        return
    for pod in pods:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        containers = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
        for container in (each["name"] for each in containers):
            base = f"/api/v1/namespaces/{namespace}/pods/{name}/log?container={container}&tailLines=5000"
            for query, ending in (("", "log"), ("&previous=true", "previous.log")):
                file = f"logs/{namespace}/{name}/{container}.{ending}"
                put(file, partial(_asked, api, base + query))


def _doctor(config: Config) -> str:
    return "".join(f"{each.level:8} {each.check:12} {each.found}\n" for each in preflight.findings(config))


def _log(config: Config) -> str:
    if systemd.manages(config):
        return _said("journalctl", "--unit", systemd.UNIT, "--no-pager", "--lines=20000")
    return config.log_file.read_text(errors="replace")


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def _asked(api: Api, path: str) -> str:
    found = api.get(path)
    return found if isinstance(found, str) else _json(found)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, default=str) + "\n"
