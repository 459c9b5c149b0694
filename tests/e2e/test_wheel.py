"""The wheel alone, in an environment of its own outside the checkout, starts a cluster."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import ROOT, Cluster

pytestmark = pytest.mark.e2e


def test_an_installed_wheel_starts_a_cluster(make_cluster: Callable[[], Cluster], tmp_path: Path) -> None:
    def run(*command: object) -> str:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, cwd=tmp_path, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    source = tmp_path / "source"
    run("git", "clone", "--quiet", ROOT, source)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    assert str(tmp_path) in run(python, "-c", "import apiserver; print(apiserver.__file__)")
    cluster = make_cluster()
    command = [tmp_path / "venv/bin/minikube-py", "start", "--profile", cluster.profile]
    done = subprocess.run(command, capture_output=True, text=True, env=cluster.environment, cwd="/", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr + cluster.log()
    assert "ready in" in done.stdout
    (node,) = cluster.get("nodes")["items"]
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.2"
    cluster.cli("stop")
