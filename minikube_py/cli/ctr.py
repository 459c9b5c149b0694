"""`ctr …`: containerd's own client on this cluster's runtime, in the namespace where Kubernetes' things are."""

from __future__ import annotations

import argparse
import os
import shutil

from minikube_py.cli.options import existing_config
from minikube_py.instance import InstanceError
from runtime.containerd.caller import NAMESPACE


def run(arguments: argparse.Namespace) -> int:
    """Becomes ctr; raises InstanceError where there is none."""
    config = existing_config(arguments)
    program = shutil.which("ctr")
    if program is None:
        raise InstanceError("ctr is missing: it comes with Debian's package containerd, whose daemon need not run")
    # Flags of ctr's own win over these.
    environment = {
        "CONTAINERD_ADDRESS": config.runtime_endpoint.removeprefix("unix://"),
        "CONTAINERD_NAMESPACE": NAMESPACE,
    }
    os.execve(program, ["ctr", *arguments.arguments], {**os.environ, **environment})
