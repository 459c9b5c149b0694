"""The real helm, with the chart that it makes itself: installed, upgraded, rolled back, tested and taken away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import BIN, Cluster

pytestmark = pytest.mark.e2e

Helm = Callable[..., str]


@pytest.fixture
def helm(walked: Cluster, tmp_path: Path) -> Helm:
    """Runs helm in a folder of its own and gives what it printed; fails the test where helm does."""
    places = {f"HELM_{place}_HOME": str(tmp_path / place) for place in ("CACHE", "CONFIG", "DATA")}
    environment = {**walked.environment, **places, "KUBECONFIG": str(walked.data_dir / "admin.kubeconfig")}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [BIN / "helm", *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}\n{walked.log()}"
        return done.stdout

    return run


def statuses(helm: Helm) -> list[tuple[str, str]]:
    return [(each["status"], each["description"]) for each in json.loads(helm("history", "web", "-o", "json"))]


def test_a_chart_is_installed_upgraded_rolled_back_and_taken_away(walked: Cluster, helm: Helm, tmp_path: Path) -> None:
    helm("create", "chart")
    # wget's output is to go nowhere: the root file system of busybox is not the test's.
    connection = tmp_path / "chart/templates/tests/test-connection.yaml"
    connection.write_text(connection.read_text().replace("['wget']", "['wget', '-O', '-']"))
    values = ["--set", "image.tag=latest,image.pullPolicy=IfNotPresent"]
    waiting = ["--wait", "--timeout", "240s"]
    try:
        helm("install", "web", "chart", *values, *waiting)
        assert [(each["name"], each["status"]) for each in json.loads(helm("list", "-o", "json"))] == [
            ("web", "deployed")
        ]
        helm("upgrade", "web", "chart", *values, "--set", "replicaCount=2", *waiting)
        assert walked.get("deployment/web-chart")["status"]["readyReplicas"] == 2
        helm("rollback", "web", "1", *waiting)
        assert walked.get("deployment/web-chart")["spec"]["replicas"] == 1
        assert statuses(helm) == [
            ("superseded", "Install complete"), ("superseded", "Upgrade complete"), ("deployed", "Rollback to 1"),
        ]  # fmt: skip
        assert "Phase:          Succeeded" in helm("test", "web", "--timeout", "240s")
        assert "busybox" in helm("get", "hooks", "web")
    finally:
        helm("uninstall", "web", *waiting)
        walked.kubectl("delete", "pod", "web-chart-test-connection", "--ignore-not-found")
    chosen = ["-l", "app.kubernetes.io/instance=web"]
    walked.kubectl("wait", "--for=delete", "pods", *chosen, "--timeout=120s")
    assert walked.kubectl("get", "all,secrets,serviceaccounts", *chosen, "-o", "name") == ""
