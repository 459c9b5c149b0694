"""kill -9 of the whole process while a pod comes and while it goes: the pod is as it shall be, and nothing is left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from machinery.linux.mount import mount_points
from minikube_py.config import Config, for_profile
from tests.contract.cri_node import BUSYBOX
from tests.contract.test_streams_on_containerd import sleeper
from tests.e2e.conftest import Cluster

pytestmark = pytest.mark.skipif(not BUSYBOX.exists(), reason="no busybox at hand")
PROGRAM = Path(__file__).with_name("killed_cluster.py")
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}, "data": {"word": "here"}}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "mortal"},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "c",
                "image": "sleeper",
                "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80}],
                "volumeMounts": [{"name": "words", "mountPath": "/words"}, {"name": "scratch", "mountPath": "/s"}],
            }
        ],
        "volumes": [
            {"name": "words", "configMap": {"name": "words"}},
            {"name": "scratch", "emptyDir": {"medium": "Memory"}},
        ],
    },
}
MOMENTS = (
    ("_show: symlink KUBELET/pods/*/volumes/kubernetes.io~configmap/words/word", "signal_first: kill -15"),
    ("Sandboxes._write_files: mount RUN/sandboxes/*/shm", "Sandboxes._clear: unmount RUN/ns/*/net"),
    ("SnapshotTable.create: rename RUNTIME/snapshots/overlay/*", "Containers._clear.clear: remove RUN/exits/*"),
)
"""Before which side effect of a pod's coming, and of its going, the process is killed. No container runs by then: one
that was killed while it began counts as a restart."""


class Killed:
    """The process, started anew as often as needed."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._config = cluster, for_profile(cluster.profile)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._config.state_file.unlink(missing_ok=True)
        with open(self._config.log_file, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, PROGRAM, self._config.profile],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**self._cluster.environment, "MINIKUBE_PY_KUBECONFIG": "off"},
            )
        while self._phase() != "ready":
            assert self._process.poll() is None, self._cluster.log()
            time.sleep(0.05)  # noqa: TID251 - nothing tells of it but the file

    def _phase(self) -> str:
        try:
            return str(json.loads(self._config.state_file.read_text())["phase"])
        except (FileNotFoundError, ValueError):
            return ""

    def tell(self, command: str) -> list[str]:
        """See `FaultPoints.obey`."""
        assert self._process and self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        points: list[str] = json.loads(self._process.stdout.readline())
        return points

    def died(self) -> None:
        assert self._process and self._process.stdin and self._process.stdout
        assert self._process.wait(timeout=120) == -signal.SIGKILL, self._cluster.log()
        self._process.stdin.close()
        self._process.stdout.close()

    def end(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self.died()


@contextmanager
def running(cluster: Cluster) -> Iterator[Killed]:
    killed = Killed(cluster)
    try:
        killed.start()
        yield killed
    finally:
        killed.end()


def test_a_pod_comes_and_goes_whenever_the_process_is_killed(
    make_cluster: Callable[[], Cluster], tmp_path: Path
) -> None:
    cluster = make_cluster()
    cluster.cli("start")
    cluster.cli("image", "load", str(sleeper(tmp_path)))
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(CONFIG_MAP))
    cluster.cli("stop")
    config = for_profile(cluster.profile)
    with running(cluster) as killed:
        assert {each for pair in MOMENTS for each in pair} <= set(unharmed(cluster, killed))
        for coming, going in MOMENTS:
            killed.tell(f"kill {coming}")
            cluster.kubectl("apply", "-f", "-", stdin=json.dumps(POD), check=False)
            killed.died()
            killed.start()
            # It may have been killed before the pod was stored.
            cluster.kubectl("apply", "-f", "-", stdin=json.dumps(POD))
            cluster.kubectl("wait", "--for=condition=Ready", "pod/mortal", "--timeout=120s")
            assert status(cluster)["restartCount"] == 0
            assert cluster.kubectl("exec", "mortal", "--", "cat", "/words/word") == "here"
            assert len(held(config)["sandboxes"]) == 1, coming

            killed.tell(f"kill {going}")
            cluster.kubectl("delete", "pod", "mortal", "--wait=false", check=False)
            killed.died()
            killed.start()
            cluster.kubectl("delete", "pod", "mortal", "--ignore-not-found", "--timeout=120s")
            assert held(config) == NOTHING, going


def unharmed(cluster: Cluster, killed: Killed) -> list[str]:
    """The side effects of the pod's coming and going."""
    killed.tell("names")
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(POD))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/mortal", "--timeout=120s")
    coming = killed.tell("names")
    cluster.kubectl("delete", "pod", "mortal", "--timeout=120s")
    return [*coming, *killed.tell("names")]


def status(cluster: Cluster) -> Any:
    (found,) = cluster.get("pod", "mortal")["status"]["containerStatuses"]
    return found


NOTHING: dict[str, list[str]] = {"sandboxes": [], "namespaces": [], "bundles": [], "pods": [], "mounts": []}


def held(config: Config) -> dict[str, list[str]]:
    """What there is on the machine of pods."""
    pods = config.data_dir / "kubelet/pods"
    folders = {"sandboxes": config.run_dir / "sandboxes", "namespaces": config.run_dir / "ns", "pods": pods}
    folders["bundles"] = config.run_dir / "bundles"
    found = {name: sorted(path.name for path in folder.glob("*")) for name, folder in folders.items()}
    return {**found, "mounts": [*mount_points(pods), *mount_points(config.run_dir / "sandboxes")]}
