"""`logs`: the last lines of what the cluster's process logged, and on as it grows; `--export` a bundle of all."""

from __future__ import annotations

import argparse
import os
import sys
from collections import deque
from pathlib import Path

from minikube_py import systemd
from minikube_py.cli.bundle import export
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.instance import InstanceError


def run(arguments: argparse.Namespace) -> int:
    config = existing_config(arguments)
    if arguments.export:
        written = export(config, Path(arguments.export))
        Output.of(arguments).say(f"{len(written)} files in {arguments.export}", files=written)
        return 0
    if systemd.manages(config):
        follow = ["--follow"] if arguments.follow else []
        os.execvp(
            "journalctl", ["journalctl", "--unit", systemd.UNIT, f"--lines={arguments.tail}", "--no-pager", *follow]
        )
    if not config.log_file.exists():
        raise InstanceError(f"nothing was logged yet: there is no {config.log_file}")
    with config.log_file.open(errors="replace") as file:
        sys.stdout.writelines(deque(file, maxlen=arguments.tail))
        sys.stdout.flush()
        if arguments.follow:
            _follow(file.fileno(), str(config.log_file))
    return 0


def _follow(descriptor: int, path: str) -> None:
    from inotify_simple import INotify, flags

    with INotify() as inotify:
        inotify.add_watch(path, flags.MODIFY)
        while True:
            while chunk := os.read(descriptor, 1 << 16):
                os.write(sys.stdout.fileno(), chunk)
            inotify.read()
