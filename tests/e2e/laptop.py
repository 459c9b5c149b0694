"""A machine with networks of a test's making: a cluster inside, and an outside that it meets by wifi, cable and VPN."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.contract.cri_node import busybox_archive
from tests.e2e.conftest import Cluster

PAGE = "mkdir /www; echo $0 >/www/index.html; exec httpd -f -p $1 -h /www"


class Laptop:
    """`pid` is that of a process inside, `outside` that of one at the other end of all links."""

    def __init__(self, cluster: Cluster, pid: int, outside: int) -> None:
        self.cluster, self._pid, self._outside = cluster, pid, outside
        self._links: list[str] = []

    @property
    def bridge_address(self) -> str:
        """By which the node is known without a network."""
        cidr = json.loads((self.cluster.data_dir / "options.json").read_text())["pod_cidr"][0]
        return f"{cidr.removesuffix('.0.0/16')}.0.1"

    def ip(self, *arguments: str) -> None:
        subprocess.run([*entering(self._pid), "ip", *arguments], check=True)

    def connect(self, name: str, address: str, *routes: str) -> None:
        """Makes a link with the address, and routes as `default metric 100`; the other end is .1 of its /24."""
        first = f"{address.rpartition('.')[0]}.1"
        subprocess.run(
            [*entering(self._outside), "ip", "link", "add", f"{name}-o", "type", "veth", "peer", "name", name]
            + ["netns", str(self._pid)],
            check=True,
        )
        outside = [*entering(self._outside), "ip"]
        subprocess.run([*outside, "address", "add", f"{first}/24", "dev", f"{name}-o"], check=True)
        subprocess.run([*outside, "link", "set", f"{name}-o", "up"], check=True)
        self._links.append(name)
        self.ip("address", "add", f"{address}/24", "dev", name)
        self.ip("link", "set", name, "up")
        for route in routes:
            self.ip("route", "add", *route.split(), "via", first, "dev", name)

    def disconnect(self) -> None:
        """Takes away whatever was connected."""
        while self._links:
            self.ip("link", "delete", self._links.pop())

    def fetched(self, url: str, *options: str, outside: bool = False) -> str:
        """The page by curl and its options, "" where there is none."""
        where = entering(self._outside if outside else self._pid)
        done = subprocess.run([*where, "curl", "-sS", "--max-time", "5", *options, url], capture_output=True, text=True)
        return done.stdout

    @contextmanager
    def listening(self, port: int, page: str) -> Iterator[None]:
        """A program of the machine serves a page meanwhile."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "index.html").write_text(f"{page}\n")
            served = ["busybox", "httpd", "-f", "-p", str(port), "-h", folder]
            with subprocess.Popen([*entering(self._pid), *served]) as program:
                try:
                    yield
                finally:
                    program.kill()

    def in_pod(self, *command: str) -> str:
        return self.cluster.kubectl("exec", "client", "--", *command, check=False)

    def wait_known_by(self, address: str) -> None:
        """Returns when the node, its load balancers and what runs on its network are known by the address."""
        waiting = {
            "node": "{.status.addresses[0].address}",
            "service/web": "{.status.loadBalancer.ingress[0].ip}",
            "pod/onhost": "{.status.podIP}",
            "endpoints/onhost": "{.subsets[0].addresses[0].ip}",
        }
        for what, path in waiting.items():
            named = ["node", self.cluster.get("nodes")["items"][0]["metadata"]["name"]] if what == "node" else [what]
            self.cluster.kubectl("wait", f"--for=jsonpath={path}={address}", *named, "--timeout=60s")

    def works(self) -> None:
        """Fails where a pod, a Service, a name or the API is not reached as it is with any network."""
        spec = self.cluster.get("service/web")["spec"]
        assert self.fetched(f"http://{spec['clusterIP']}:8000") == "page\n"
        assert self.fetched(f"http://127.0.0.1:{spec['ports'][0]['nodePort']}") == "page\n"
        assert self.in_pod("timeout", "10", "wget", "-q", "-O-", "http://web:8000") == "page\n"
        assert self.in_pod("timeout", "10", "wget", "-q", "-O-", "http://onhost") == "host\n"
        assert self.in_pod("nc", "-w", "10", "kubernetes", "443", "-e", "true") == ""
        assert "inside" in self.in_pod("echo", "inside")


def entering(pid: int) -> list[str]:
    return ["nsenter", f"--target={pid}", "--net"]


@contextmanager
def laptop(profile: str, environment: dict[str, str]) -> Iterator[Laptop]:
    """With a cluster that was started with no interface but lo, and two workloads on it."""
    with ExitStack() as stack:
        inside, outside = (stack.enter_context(_network()) for _ in range(2))
        cluster = Cluster(profile, environment, tuple(entering(inside)))
        stack.callback(cluster.cli, "uninstall", "--yes", check=False)
        cluster.cli("start")
        with tempfile.TemporaryDirectory(prefix="mkpy-laptop-") as folder:
            cluster.cli("image", "load", str(busybox_archive(Path(folder))))
        for made in _objects():
            cluster.kubectl("apply", "-f", "-", stdin=json.dumps(made))
        cluster.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=120s")
        yield Laptop(cluster, inside, outside)


@contextmanager
def _network() -> Iterator[int]:
    """The pid of a process in a network of its own, where only lo is."""
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "up\n"
            yield holder.pid
        finally:
            holder.kill()


def _objects() -> Iterator[dict[str, Any]]:
    yield _pod("web", ["sh", "-c", PAGE, "page", "8080"])
    yield _pod("client", ["sleep", "100000"])
    probe = {"httpGet": {"path": "/", "port": 18080}, "periodSeconds": 1}
    yield _pod("onhost", ["sh", "-c", PAGE, "host", "18080"], hostNetwork=True, readinessProbe=probe)
    yield _service("web", {"port": 8000, "targetPort": 8080}, type="LoadBalancer")
    yield _service("onhost", {"port": 80, "targetPort": 18080})


def _pod(name: str, command: list[str], *, hostNetwork: bool = False, **more: Any) -> dict[str, Any]:  # noqa: N803
    container = {"name": "c", "image": "busybox:latest", "imagePullPolicy": "Never", "command": command, **more}
    spec = {"hostNetwork": hostNetwork, "terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def _service(name: str, port: dict[str, int], **spec: str) -> dict[str, Any]:
    made = {"selector": {"app": name}, "ports": [port], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": made}
