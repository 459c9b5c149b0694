"""Images of one's own and containerd's client, as a user has them: load, run, look, pause, remove."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from minikube_py import containerd_link
from minikube_py.config import for_profile

from .conftest import BIN, Cluster
from .test_walk import EXAMPLE, until

pytestmark = pytest.mark.e2e
NGINX, BUSYBOX = "docker.io/library/nginx:latest", "docker.io/library/busybox:latest"


def images(cluster: Cluster) -> dict[str, dict[str, object]]:
    """What `image list` tells, by tag."""
    told = json.loads(cluster.cli("image", "list", "--output", "json").stdout)["images"]
    return {tag: image for image in told for tag in image["tags"]}


def saved(cluster: Cluster, name: str, path: Path) -> Path:
    """nginx under another name as an archive, and nothing of that name left on the node."""
    cluster.cli("ctr", "images", "tag", NGINX, name)
    cluster.cli("ctr", "images", "export", str(path), name)
    cluster.cli("image", "rm", name)
    assert name not in images(cluster)
    return path


def pod(name: str, image: str, policy: str | None) -> str:
    container = {"name": "c", "image": image, **({"imagePullPolicy": policy} if policy else {})}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def test_an_image_that_comes_through_a_pipe_runs_without_a_registry(walked: Cluster, tmp_path: Path) -> None:
    archive = saved(walked, "docker.io/library/mine:latest", tmp_path / "mine.tar")
    load = [BIN / "minikube-py", "image", "load", "--profile", walked.profile, "-"]
    with archive.open("rb") as stream:
        done = subprocess.run(load, stdin=stream, capture_output=True, text=True, env=walked.environment)
    assert done.stdout.startswith("loaded docker.io/library/mine:latest (sha256:"), done.stderr
    assert images(walked)["docker.io/library/mine:latest"]["pinned"]
    for name, policy in (("never", "Never"), ("present", "IfNotPresent"), ("asks", None)):
        walked.kubectl("apply", "-f", "-", stdin=pod(name, "mine:latest", policy))
    walked.kubectl("wait", "pod", "never", "present", "--for=condition=Ready", "--timeout=60s")
    until(
        lambda: "imagePullPolicy: IfNotPresent it is used" in walked.kubectl("describe", "pod", "asks"),
        lambda: walked.kubectl("describe", "pod", "asks"),
    )
    # nginx and mine are one image: though pods run from it, one of its names may go.
    assert walked.cli("image", "rm", "mine:latest").stdout == "untagged docker.io/library/mine:latest\n"
    walked.kubectl("delete", "pod", "never", "present", "asks", "--wait")


def test_ctr_sees_the_pods_containers_and_pauses_them(walked: Cluster) -> None:
    walked.kubectl("apply", "-f", str(EXAMPLE))
    walked.kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=60s")
    (found,) = walked.get("pods", "-l", "app=nginx")["items"]
    container = found["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    listed = [line.split() for line in walked.cli("ctr", "containers", "list").stdout.splitlines()]
    assert [container, NGINX, "io.containerd.runc.v2"] in listed
    if containerd_link.leads_to(for_profile(walked.profile).cri_socket):
        plain = subprocess.run(
            ["ctr", "--namespace", "k8s.io", "containers", "list"], capture_output=True, text=True, check=True
        )
        assert container in plain.stdout
    page = f"http://{found['status']['podIP']}/"
    assert answers(page, 20)
    walked.cli("ctr", "tasks", "pause", container)
    assert not answers(page, 1)
    tasks = [line.split() for line in walked.cli("ctr", "tasks", "list").stdout.splitlines()]
    assert [row[2] for row in tasks if row[0] == container] == ["PAUSED"]
    walked.cli("ctr", "tasks", "resume", container)
    assert answers(page, 20)
    refused = walked.cli("image", "rm", NGINX, check=False)
    assert f"is used by {container[:12]}" in refused.stderr
    walked.cli("ctr", "tasks", "kill", container)
    until(
        lambda: (
            walked.get("pods", "-l", "app=nginx")["items"][0]["status"]["containerStatuses"][0]["restartCount"] == 1
        ),
        lambda: walked.kubectl("describe", "pods"),
    )
    walked.kubectl("delete", "-f", str(EXAMPLE), "--wait")


def answers(page: str, seconds: float) -> bool:
    try:
        with urllib.request.urlopen(page, timeout=seconds) as response:
            return bool(response.status == 200)
    except (TimeoutError, urllib.error.URLError):
        return False


def test_archives_in_the_data_directory_are_there_after_a_start_and_prune_takes_the_rest(
    walked: Cluster, tmp_path: Path
) -> None:
    folder = walked.data_dir / "images"
    folder.mkdir()
    saved(walked, "docker.io/library/carried:1", folder / "carried.tar")
    walked.kubectl("run", "once", "--image=busybox", "--restart=Never", "--", "true")
    walked.kubectl("wait", "pod", "once", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    walked.kubectl("delete", "pod", "once", "--wait")
    assert BUSYBOX in images(walked)
    walked.cli("restart", "--image-gc-high-threshold", "1", "--image-gc-low-threshold", "0")
    until(lambda: "docker.io/library/carried:1" in images(walked), walked.log)
    # What the registry gave and no pod uses goes, as the disk is fuller than a hundredth; what was loaded stays.
    until(lambda: BUSYBOX not in images(walked), walked.log)
    walked.cli("restart", "--image-gc-high-threshold", "85", "--image-gc-low-threshold", "80")
    (folder / "carried.tar").unlink()
    folder.rmdir()
    pruned = json.loads(walked.cli("image", "prune", "--output", "json").stdout)
    assert pruned["images"] == [] and pruned["freed"] >= 0
    assert "docker.io/library/carried:1" in images(walked)
    removed = json.loads(walked.cli("image", "rm", "carried:1", "nginx", "--output", "json").stdout)
    assert removed["images"][0] == {"untagged": "docker.io/library/carried:1"}
    assert removed["images"][1]["name"] == "nginx"
    assert "docker.io/library/carried:1" not in images(walked)
    assert walked.cli("image", "rm", "carried:1", check=False).stderr.startswith("minikube-py: no image carried:1")
