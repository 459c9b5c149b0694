"""Whole clusters whose pods have another network than the built-in one: CNI plugins, here or in containerd."""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cri_node import BUSYBOX
from tests.contract.test_streams_on_containerd import running, sleeper
from tests.e2e.conftest import Cluster

pytestmark = pytest.mark.skipif(not BUSYBOX.exists(), reason="no busybox at hand")
PAGE = "mkdir /www; echo page >/www/index.html; exec httpd -f -p 8080 -h /www"
Clusters = Callable[[], Cluster]


@contextmanager
def on_containerd(cluster: Cluster, folder: Path) -> Iterator[None]:
    with running(folder) as endpoint:
        network(cluster, folder / "cni")
        cluster.cli("start", "--container-runtime-endpoint", endpoint)
        try:
            yield
        finally:
            cluster.cli("stop")


@contextmanager
def embedded(cluster: Cluster, folder: Path) -> Iterator[None]:
    network(cluster, folder / "cni")
    cluster.cli("start", "--cni-conf-dir", str(folder / "cni"))
    cluster.cli("image", "load", str(sleeper(folder)))
    yield
    cluster.cli("stop")


def network(cluster: Cluster, folder: Path) -> None:
    """Puts in place what the cluster itself proposes."""
    folder.mkdir(exist_ok=True)
    (folder / "10-minikube-py.conflist").write_text(cluster.cli("cni").stdout)


def pod(name: str, script: str, **container: Any) -> dict[str, Any]:
    shell = {"name": "c", "image": "sleeper", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{**shell, **container}]},
    }


@pytest.mark.parametrize("runtime", [on_containerd, embedded])
def test_pods_have_addresses_reach_each_other_by_services_and_are_gone(make_cluster: Clusters, runtime: Any) -> None:
    cluster = make_cluster()
    with tempfile.TemporaryDirectory(prefix="mkpy-net-") as name, runtime(cluster, Path(name)):
        (plugins,) = (json.loads(path.read_text()) for path in Path(name, "cni").iterdir())
        pods = ipaddress.ip_network(plugins["plugins"][0]["ipam"]["ranges"][0][0]["subnet"])
        probe = {"httpGet": {"path": "/", "port": 8080}}
        for made in (pod("web", PAGE, readinessProbe=probe), pod("client", "sleep 100000")):
            cluster.kubectl("apply", "-f", "-", stdin=json.dumps(made))
        cluster.kubectl("wait", "--for=condition=Ready", "pod/web", "pod/client", "--timeout=120s")
        address = cluster.get("pod", "web")["status"]["podIP"]
        assert ipaddress.ip_address(address) in pods
        assert fetched(address) == "page\n"
        # Not even a runtime that doesn't know WebSockets of v5 has kubectl fall back to SPDY.
        said = cluster.kubectl("exec", "-i", "client", "-v=4", "--", "sort", stdin="b\na\n", check=False)
        assert "a\nb\n" in said
        assert "fallback" not in said
        cluster.kubectl("expose", "pod", "web", "--port=80", "--target-port=8080")
        service = cluster.get("service", "web")["spec"]["clusterIP"]
        ask = ("exec", "client", "--", "sh", "-c")
        assert service in cluster.kubectl(*ask, "nslookup web.default.svc.cluster.local")
        script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 60 {service} 80"
        assert "page\n" in cluster.kubectl(*ask, script)
        # What an in-cluster client does first: it asks the API by its Service.
        cluster.kubectl(*ask, "nc -w 10 $KUBERNETES_SERVICE_HOST 443 </dev/null")
        before = cluster.get("pods")["items"]
        cluster.cli("restart")
        after = cluster.get("pods")["items"]
        assert identity(before) == identity(after)
        assert "page\n" in cluster.kubectl(*ask, script)
        cluster.kubectl("delete", "pod", "web", "client", "--timeout=60s")
        assert address not in subprocess.run(["iptables-save"], capture_output=True, text=True).stdout
        leases = Path("/var/lib/cni/networks", plugins["name"])
        assert not list(leases.glob("*.*.*.*"))
        # What host-local remembers of the network is whoever's who removes it.
        shutil.rmtree(leases)


def identity(pods: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (found["metadata"]["uid"], found["status"]["podIP"], found["status"]["containerStatuses"][0]["containerID"])
        for found in pods
    }


def fetched(address: str) -> str:
    command = ["curl", "-fsS", "--max-time", "20", f"http://{address}:8080/"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
