"""`uninstall`: asks, then removes every file, mount, interface, cgroup, nftables rule and process of the cluster."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys

from minikube_py import kubeconfig, systemd
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.cli.stop import stop
from minikube_py.config import Config


def run(arguments: argparse.Namespace) -> int:
    config, output = existing_config(arguments), Output.of(arguments)
    if not arguments.yes and not _agreed(config):
        output.say("nothing was removed", removed=False)
        return 1
    uninstall(config)
    output.say(f"removed {config.context}: {config.data_dir}, {config.run_dir} and all that it ran", removed=True)
    return 0


def uninstall(config: Config) -> None:
    """Leaves nothing of the cluster on this machine, also where it was half gone already."""
    stop(config, keep_pods=False)
    if config.is_default:
        systemd.remove()
    from minikube_py import node

    asyncio.run(node.destroy(config))
    kubeconfig.take_out(kubeconfig.user_path(os.environ), config.context)
    for folder in (config.data_dir, config.run_dir):
        shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None


def _agreed(config: Config) -> bool:
    if not sys.stdin.isatty():
        print("minikube-py: uninstall asks first; say --yes where there is no terminal", file=sys.stderr)
        return False
    answer = input(f"Remove {config.context} with all its data in {config.data_dir}? [y/N] ")
    return answer.strip().lower() in ("y", "yes")
