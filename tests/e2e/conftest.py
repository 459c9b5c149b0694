"""Real clusters for tests: each a profile with data, ports, bridge and ranges of its own, removed at the end."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from minikube_py.config import for_profile

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass
class Cluster:
    """A cluster under test; `kubectl` and `cli` run to their end and fail the test where the program does."""

    profile: str
    environment: dict[str, str] = field(default_factory=dict)
    inside: tuple[str, ...] = ()
    """The command that runs what follows it where the cluster is, as in a network of its own."""

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [*self.inside, BIN / "minikube-py", arguments[0], "--profile", self.profile, *arguments[1:]]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=300)
        if check and done.returncode:
            pytest.fail(f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}\n{self.log()}")
        return done

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True, program: str = "") -> str:
        kubeconfig = self.data_dir / "admin.kubeconfig"
        command = [*self.inside, program or kubectl(), "--kubeconfig", str(kubeconfig), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=180, env=self.environment)
        if check and done.returncode:
            pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}\n{self.log()}")
        return done.stdout if check else done.stdout + done.stderr

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    @property
    def data_dir(self) -> Path:
        return Path(f"/var/lib/minikube-py-{self.profile}")

    def log(self) -> str:
        path = self.data_dir / "minikube-py.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-60:]) if path.exists() else "no log"


def kubectl() -> str:
    """kubectl 1.36 as the tests install it."""
    return str(BIN / "kubectl") if (BIN / "kubectl").exists() else shutil.which("kubectl") or "kubectl"


@pytest.fixture(scope="session")
def make_cluster() -> Iterator[Callable[[], Cluster]]:
    """Makes clusters that are uninstalled when the session ends, also when tests fail."""
    made: list[Cluster] = []
    home = Path(tempfile.mkdtemp(prefix="minikube-py-home-"))

    def make() -> Cluster:
        environment = {**os.environ, "KUBECONFIG": str(home / "config"), "HOME": str(home)}
        cluster = Cluster(_free_profile(), environment)
        made.append(cluster)
        return cluster

    try:
        yield make
    finally:
        for cluster in made:
            cluster.cli("uninstall", "--yes", check=False)
        shutil.rmtree(home)


def _free_profile() -> str:
    """A profile whose ports nobody has: they follow from its name, and other tests run beside this one."""
    while True:
        config = for_profile(f"t{uuid.uuid4().hex[:8]}")
        if all(_is_free(port) for port in (config.port, config.kubelet_port)):
            return config.profile


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


@pytest.fixture(scope="session")
def walked(make_cluster: Callable[[], Cluster]) -> Cluster:
    """A cluster on which `scripts/run` has shown its walk."""
    return walk(make_cluster())


@pytest.fixture(scope="session")
def walked_on_etcd(make_cluster: Callable[[], Cluster]) -> Cluster:
    return walk(make_cluster(), "--etcd")


def walk(cluster: Cluster, *arguments: str) -> Cluster:
    command = [ROOT / "scripts/run", "--profile", cluster.profile, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=cluster.environment, timeout=600)
    if done.returncode:
        pytest.fail(f"scripts/run ended with {done.returncode}:\n{done.stdout}{done.stderr}\n{cluster.log()}")
    assert "Welcome to nginx" in done.stdout
    return cluster
