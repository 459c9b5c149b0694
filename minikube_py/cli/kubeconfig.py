"""`kubeconfig`: the administrator's kubeconfig on standard output, or where it is (`--output json`)."""

from __future__ import annotations

import argparse
import sys

from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.instance import InstanceError


def run(arguments: argparse.Namespace) -> int:
    config = existing_config(arguments)
    if not config.admin_kubeconfig.exists():
        raise InstanceError(f"there is no {config.admin_kubeconfig}: start the cluster first")
    output = Output.of(arguments)
    if output.as_json:
        output.say("", path=str(config.admin_kubeconfig), context=config.context)
    else:
        sys.stdout.write(config.admin_kubeconfig.read_text())
    return 0
