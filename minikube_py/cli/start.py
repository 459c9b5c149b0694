"""`start`: runs the cluster here (`--foreground`), under systemd where it runs, else as a process of its own.

It returns when the node is Ready, and says in one line what is wrong if that can't be.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import time

from minikube_py import preflight, systemd
from minikube_py.cli.options import remember, starting_config
from minikube_py.cli.output import Output
from minikube_py.config import Config
from minikube_py.instance import InstanceError, State, read_state, running_pid

PATIENCE = 120.0


def run(arguments: argparse.Namespace) -> int:
    config = starting_config(arguments)
    if arguments.foreground:
        return _foreground(config)
    output = Output.of(arguments)
    if pid := running_pid(config):
        output.say(f"the cluster runs already (process {pid})", running=True, pid=pid)
    else:
        start_in_background(config, output)
    if arguments.wait == "all":
        from minikube_py.api import Api
        from minikube_py.waiting import wait

        wait(Api(config), arguments.wait_timeout)
    return 0


def start_in_background(config: Config, output: Output) -> int:
    """Starts the cluster and follows what it says until the node is Ready; raises InstanceError if it can't be."""
    prepare(config)
    return launch(config, output)


def prepare(config: Config) -> None:
    """What comes before the cluster's process; raises InstanceError where it could not run."""
    preflight.refuse_hopeless(config)
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    remember(config)


def launch(config: Config, output: Output) -> int:
    """As `start_in_background`, where all is prepared."""
    begun = time.monotonic()
    config.state_file.unlink(missing_ok=True)
    if systemd.runs() and config.is_default:
        systemd.start(config)
        process = None
    else:
        process = _spawn(config)
    state = _until_ready(config, process, output)
    seconds = time.monotonic() - begun
    output.say(
        f"ready in {seconds:.1f} s: node {config.node}, API https://127.0.0.1:{config.port}, context {config.context}",
        ready=True,
        seconds=round(seconds, 2),
        node=config.node,
        port=config.port,
        context=config.context,
        pid=state.pid,
    )
    return 0


def _foreground(config: Config) -> int:
    prepare(config)
    from minikube_py import process

    return process.run(config)


def _spawn(config: Config) -> subprocess.Popen[bytes]:
    """The cluster's process, detached from this terminal, its output appended to the log file."""
    command = [sys.executable, "-m", "minikube_py", "start", "--foreground"]
    command += ["--profile", config.profile, "--data-dir", str(config.data_dir)]
    log = os.open(config.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    finally:
        os.close(log)


def _until_ready(config: Config, process: subprocess.Popen[bytes] | None, output: Output) -> State:
    said: set[str] = set()
    end = time.monotonic() + PATIENCE
    descriptor = os.pidfd_open(process.pid) if process else None
    while time.monotonic() < end:
        state = read_state(config)
        if state:
            for name, what in state.components.items():
                if (line := f"{name}: {what}") not in said:
                    said.add(line)
                    output.progress(line)
            if state.phase == "ready":
                return state
            if state.phase == "failed":
                if descriptor is not None:
                    # Whoever mends the cause and starts again must not meet this one.
                    select.select([descriptor], [], [], PATIENCE)
                raise InstanceError(state.reason)
        # The state file is replaced by rename; a twentieth of a second is shorter than anyone notices.
        if descriptor is not None and select.select([descriptor], [], [], 0.05)[0]:
            raise InstanceError(_last_words(config))
        if descriptor is None:
            select.select([], [], [], 0.05)
    raise InstanceError(f"the node was not Ready after {PATIENCE:.0f} s; `minikube-py logs` shows why")


def _last_words(config: Config) -> str:
    state = read_state(config)
    if state and state.reason:
        return state.reason
    lines = config.log_file.read_text(errors="replace").splitlines() if config.log_file.exists() else []
    return lines[-1] if lines else "the cluster's process ended at once"
