"""The whole way with real kubectls: apply, look, scale, delete; after that nothing of the pods is on the machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import ROOT, Cluster, kubectl

pytestmark = pytest.mark.e2e
EXAMPLE = ROOT / "examples/nginx-deployment.yaml"
DEADLINE = 60.0


def older_kubectls() -> list[str]:
    """Every `kubectl*` beside the real path of the installed one, oldest first."""
    found = subprocess.run(["which", "kubectl"], capture_output=True, text=True).stdout.strip()
    beside = Path(found).resolve().parent.glob("kubectl.*") if found else ()
    return sorted(str(path) for path in beside if re.fullmatch(r"kubectl\.1\.\d+", path.name))


def instance(cluster: Cluster) -> str:
    """The mark that everything of the cluster carries on the machine."""
    from minikube_py.config import for_profile

    return for_profile(cluster.profile).instance


def host_state(cluster: Cluster) -> str:
    command = [ROOT / "scripts/host-state", f"{instance(cluster)}|{cluster.profile}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def until(what: Callable[[], bool], why: Callable[[], str]) -> None:
    """Waits for the world, not for time: fails with `why` at the deadline."""
    end = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not what():
        if time.monotonic() > end:
            pytest.fail(why())
        pause.wait(0.1)


@pytest.fixture(params=["embedded", "etcd"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue("walked" if request.param == "embedded" else "walked_on_etcd")
    return found


@pytest.mark.parametrize("program", [kubectl(), *older_kubectls()])
def test_every_kubectl_walks(walked: Cluster, program: str) -> None:
    walked.kubectl("delete", "deployment", "nginx-deployment", "--ignore-not-found", "--wait", program=program)
    said = walked.kubectl("apply", "-f", str(EXAMPLE), program=program)
    assert "deployment.apps/nginx-deployment created" in said
    walked.kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=60s", program=program)
    wide = walked.kubectl("get", "pods", "-o", "wide", "-l", "app=nginx", program=program)
    assert re.search(r"1/1\s+Running\s+0\s+\S+\s+10\.\d+", wide), wide
    described = walked.kubectl("describe", "deployment", "nginx-deployment", program=program)
    assert "Scaled up replica set" in described
    described = walked.kubectl("describe", "pods", "-l", "app=nginx", program=program)
    assert "Successfully assigned default/nginx-deployment-" in described
    walked.kubectl("logs", "deployment/nginx-deployment", program=program)
    for replicas in ("3", "1"):
        walked.kubectl("scale", "deployment", "nginx-deployment", f"--replicas={replicas}", program=program)
        walked.kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=60s", program=program)
    walked.kubectl("delete", "-f", str(EXAMPLE), "--wait", program=program)


def test_scaled_to_zero_nothing_of_the_pods_is_left(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", str(EXAMPLE))
    cluster.kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=60s")
    cluster.kubectl("scale", "deployment", "nginx-deployment", "--replicas=3")
    cluster.kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=60s")
    assert host_state(cluster).count("conmon") >= 3
    cluster.kubectl("scale", "deployment", "nginx-deployment", "--replicas=0")
    cluster.kubectl("wait", "--for=delete", "pod", "-l", "app=nginx", "--timeout=60s")

    def clean() -> bool:
        state = host_state(cluster)
        return not re.search(r"process .*conmon|overlay|/pod[0-9a-f]{8}|nsfs| shm$", state, re.MULTILINE)

    until(clean, lambda: host_state(cluster))


def test_the_page_is_served_and_read_in_the_logs(walked: Cluster) -> None:
    walked.kubectl("apply", "-f", str(EXAMPLE))
    walked.kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=60s")
    (pod,) = [p for p in walked.get("pods", "-l", "app=nginx")["items"] if not p["metadata"].get("deletionTimestamp")]
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}/", timeout=10) as response:
        assert b"Welcome to nginx" in response.read()
    until(
        lambda: '"GET / HTTP/1.1" 200' in walked.kubectl("logs", pod["metadata"]["name"]),
        lambda: walked.kubectl("logs", pod["metadata"]["name"]),
    )


def test_killed_the_process_leaves_containers_that_a_start_adopts(walked: Cluster) -> None:
    walked.kubectl("apply", "-f", str(EXAMPLE))
    walked.kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=60s")
    (before,) = walked.get("pods", "-l", "app=nginx")["items"]
    status = json.loads(walked.cli("status", "--output", "json").stdout)
    os.kill(status["pid"], signal.SIGKILL)
    with urllib.request.urlopen(f"http://{before['status']['podIP']}/", timeout=10) as response:
        assert response.status == 200
    walked.cli("start")
    walked.kubectl("wait", "--for=condition=Ready", f"pod/{before['metadata']['name']}", "--timeout=60s")
    (after,) = walked.get("pods", "-l", "app=nginx")["items"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert [c["containerID"] for c in after["status"]["containerStatuses"]] == [
        c["containerID"] for c in before["status"]["containerStatuses"]
    ]
    assert [c["restartCount"] for c in after["status"]["containerStatuses"]] == [0]


def test_run_again_is_harmless(walked: Cluster) -> None:
    command = [ROOT / "scripts/run", "--profile", walked.profile]
    done = subprocess.run(command, capture_output=True, text=True, env=walked.environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "served:" in done.stdout


def test_a_service_account_sees_no_secrets(walked: Cluster) -> None:
    said = walked.kubectl("--as=system:serviceaccount:default:default", "get", "secrets", check=False)
    assert said.strip() == (
        'Error from server (Forbidden): secrets is forbidden: User "system:serviceaccount:default:default" cannot '
        'list resource "secrets" in API group "" in the namespace "default"'
    )


def test_a_missing_image_is_told_in_the_pods_status(walked: Cluster) -> None:
    walked.kubectl("run", "nope", "--image=nginx:does-not-exist", "--restart=Never")
    until(
        lambda: "ErrImagePull" in (out := walked.kubectl("get", "pod", "nope")) or "ImagePullBackOff" in out,
        lambda: walked.kubectl("describe", "pod", "nope"),
    )
    walked.kubectl("delete", "pod", "nope", "--wait")


def test_an_unknown_field_is_refused_by_name(walked: Cluster) -> None:
    manifest = EXAMPLE.read_text().replace("replicas: 1", "replicaz: 1")
    said = walked.kubectl("apply", "-f", "-", stdin=manifest, check=False)
    assert 'unknown field "spec.replicaz"' in said


def test_status_and_trace_tell_the_cluster(walked: Cluster) -> None:
    walked.kubectl("apply", "-f", str(EXAMPLE))
    walked.kubectl("rollout", "status", "deployment/nginx-deployment", "--timeout=60s")
    screen = walked.cli("status").stdout
    for word in ("components", "apiserver running", "kubelet running", "Ready", "memory", "certificates"):
        assert word in screen
    steps = walked.cli("trace", "deploy/nginx-deployment").stdout
    assert "made by the replicaset controller" in steps
    assert "scheduled to node" in steps


def test_uninstalled_nothing_is_left(make_cluster: Callable[[], Cluster]) -> None:
    from .conftest import walk

    cluster = make_cluster()
    before = host_state(cluster)
    walk(cluster)
    assert host_state(cluster) != before
    cluster.cli("uninstall", "--yes")
    assert host_state(cluster) == before
    config = Path(cluster.environment["KUBECONFIG"])
    assert cluster.profile not in (config.read_text() if config.exists() else "")


def test_the_pull_and_run_path_spawns_conmon_and_runc_and_no_other_tool(walked: Cluster, tmp_path: Path) -> None:
    pid = json.loads(walked.cli("status", "--output", "json").stdout)["pid"]
    trace = tmp_path / "trace"
    tracer = subprocess.Popen(
        ["strace", "-f", "-e", "trace=execve", "-o", str(trace), "-p", str(pid)], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    assert "attached" in tracer.stderr.readline()
    try:
        walked.kubectl("run", "traced", "--image=busybox:latest", "--restart=Never", "--", "true")
        walked.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/traced", "--timeout=60s")
        walked.kubectl("delete", "pod", "traced", "--wait")
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)
    ran = {Path(name).name for name in re.findall(r'execve\("([^"]+)"', trace.read_text())}
    assert {"conmon", "runc"} <= ran
    assert not ran & {"skopeo", "ctr", "kubectl", "docker", "podman", "crictl"}
