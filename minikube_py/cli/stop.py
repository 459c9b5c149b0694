"""`stop`: the pods end by their grace and then the process, or at once and without the pods (`--keep-pods`)."""

from __future__ import annotations

import argparse
import os
import signal

from minikube_py import systemd
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.config import Config
from minikube_py.instance import InstanceError, running_pid, wait_until_gone

PATIENCE = 90.0


def run(arguments: argparse.Namespace) -> int:
    config = existing_config(arguments)
    output = Output.of(arguments)
    pid = stop(config, keep_pods=arguments.keep_pods)
    if not pid:
        output.say("the cluster does not run", running=False)
    else:
        kept = "its containers run on" if arguments.keep_pods else "its pods have ended"
        output.say(f"stopped; {kept}", running=False, keptPods=arguments.keep_pods)
    return 0


def stop(config: Config, *, keep_pods: bool) -> int:
    """Ends the cluster's process; its pid, or 0 if none ran. Raises InstanceError if it does not end."""
    pid = running_pid(config)
    if not pid:
        return 0
    if not keep_pods:
        # USR1 asks to end the pods first; a plain TERM, systemd's too, leaves them to be adopted.
        os.kill(pid, signal.SIGUSR1)
        if not wait_until_gone(config, pid, PATIENCE):
            raise InstanceError(f"process {pid} still ends its pods after {PATIENCE:.0f} s; --keep-pods leaves them")
    if systemd.manages(config):
        systemd.stop()
    elif keep_pods:
        os.kill(pid, signal.SIGTERM)
    if not wait_until_gone(config, pid, PATIENCE):
        raise InstanceError(f"process {pid} does not end")
    return pid
