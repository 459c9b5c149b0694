"""The unit under which the default cluster runs where systemd does: restarted when it fails, containers left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from minikube_py.config import Config

UNIT = "minikube-py.service"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
UNIT_FILE = Path("/etc/systemd/system") / UNIT


def runs() -> bool:
    """Whether systemd is this machine's init (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def manages(config: Config) -> bool:
    return config.is_default and runs() and UNIT_FILE.exists()


def unit(config: Config, environment: Mapping[str, str]) -> str:
    """KillMode=process and Delegate=yes: containers and their cgroups are ours, and outlive the process.

    The proxies of `environment` are what images are pulled through: systemd passes none on by itself.
    """
    command = f"{sys.executable} -m minikube_py start --foreground --data-dir {config.data_dir}"
    return f"""[Unit]
Description=Kubernetes for this machine in one process
After=network.target local-fs.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
{_proxies(environment)}Restart=on-failure
RestartSec=1
Delegate=yes
KillMode=process
TimeoutStartSec=180
LimitNOFILE=1048576
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"""


def _proxies(environment: Mapping[str, str]) -> str:
    """Lines of a unit, with what systemd would read in a value kept from it (systemd.exec(5))."""
    names = [each for name in PROXIES for each in (name, name.lower()) if environment.get(each)]
    values = (environment[name].replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") for name in names)
    return "".join(f'Environment="{name}={value}"\n' for name, value in zip(names, values, strict=True))


def start(config: Config) -> None:
    """Writes the unit, enables it for the next boot and asks systemd to start it; does not wait for it."""
    UNIT_FILE.write_text(unit(config, os.environ))
    _systemctl("daemon-reload")
    _systemctl("enable", "--quiet", UNIT)
    _systemctl("reset-failed", UNIT, check=False)
    _systemctl("start", "--no-block", UNIT)


def stop() -> None:
    _systemctl("stop", UNIT)


def remove() -> None:
    """Takes the unit away; nothing where there is none."""
    if UNIT_FILE.exists():
        _systemctl("disable", "--quiet", "--now", UNIT, check=False)
        UNIT_FILE.unlink()
        _systemctl("daemon-reload")


def notify(message: str) -> None:
    """Tells systemd (sd_notify(3)); nothing where it did not ask."""
    import socket

    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        notifier.connect("\0" + address[1:] if address.startswith("@") else address)
        notifier.sendall(message.encode())


def _systemctl(*arguments: str, check: bool = True) -> None:
    subprocess.run(["systemctl", *arguments], check=check, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
