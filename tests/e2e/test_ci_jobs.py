"""What a CI job leans on: a start that waits for the pods and tells of those that fail, and a bundle to look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import Cluster

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "hopeless"},
    "spec": {"containers": [{"name": "c", "image": "no-such-image:1", "imagePullPolicy": "Never"}]},
}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"word": "open-sesame"}}


def test_a_job_waits_for_its_pods_and_takes_a_bundle_home(make_cluster: Callable[[], Cluster], tmp_path: Path) -> None:
    cluster = make_cluster()
    assert "ready in" in cluster.cli("start", "--wait", "all").stdout
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(POD))
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(SECRET))
    failed = cluster.cli("start", "--wait", "all", check=False)
    assert failed.returncode == 1
    assert "default/hopeless: c: ErrImageNeverPull" in failed.stderr
    assert 'Warning ErrImageNeverPull: Container image "no-such-image:1" is not present' in failed.stderr

    bundle = tmp_path / "bundle"
    assert f"files in {bundle}" in cluster.cli("logs", "--export", str(bundle)).stdout
    pods = json.loads((bundle / "objects" / "core" / "pods.json").read_text())
    assert [pod["metadata"]["name"] for pod in pods["items"]] == ["hopeless"]
    assert json.loads((bundle / "status.json").read_text())["phase"] == "ready"
    assert "ready after" in (bundle / "cluster.log").read_text()
    assert "mkpy-" in (bundle / "host" / "links.txt").read_text()
    assert not any("open-sesame" in file.read_text() for file in bundle.rglob("*") if file.is_file())
    cluster.kubectl("delete", "pod", "hopeless", "--now")
    assert cluster.cli("start", "--wait", "all").returncode == 0
