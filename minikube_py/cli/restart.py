"""`restart`: a new process for the same cluster; the containers run on and are adopted."""

from __future__ import annotations

import argparse

from minikube_py.cli.options import starting_config
from minikube_py.cli.output import Output
from minikube_py.cli.start import launch, prepare
from minikube_py.cli.stop import stop


def run(arguments: argparse.Namespace) -> int:
    config = starting_config(arguments)
    # First, as nobody answers in between.
    prepare(config)
    stop(config, keep_pods=True)
    return launch(config, Output.of(arguments))
