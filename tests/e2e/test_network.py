"""Services and names on a real cluster: what a pod and its machine reach, and what answers from within."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from .conftest import Cluster
from .test_walk import until

pytestmark = pytest.mark.e2e
CLIENT = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "client"},
    "spec": {
        "containers": [{"name": "c", "image": "busybox:latest", "command": ["sleep", "1000"]}],
        "terminationGracePeriodSeconds": 0,
    },
}


@pytest.fixture(scope="module")
def client(walked: Cluster) -> Iterator[Callable[..., str]]:
    """Runs a command in a pod; its output, also of one that fails."""
    walked.kubectl("apply", "-f", "-", stdin=json.dumps(CLIENT))
    walked.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")

    def run(*command: str) -> str:
        return walked.kubectl("exec", "client", "--", *command, check=False)

    yield run
    walked.kubectl("delete", "pod", "client", "--wait")


def fetched(url: str, **headers: str) -> str:
    context = ssl._create_unverified_context()  # noqa: S323, SLF001 - the certificate is not what is tested here
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10, context=context) as answer:
        text: str = answer.read().decode()
        return text


def test_a_deployment_is_reached_by_its_service(walked: Cluster, client: Callable[..., str]) -> None:
    walked.kubectl("create", "deployment", "served", "--image=nginx:latest", "--replicas=2")
    walked.kubectl("rollout", "status", "deployment/served", "--timeout=60s")
    walked.kubectl("expose", "deployment", "served", "--name=web", "--port=8000", "--target-port=80",
                   "--type=NodePort")  # fmt: skip
    try:
        spec = walked.get("service/web")["spec"]
        address, node_port = spec["clusterIP"], spec["ports"][0]["nodePort"]
        until(lambda: "Welcome to nginx" in client("timeout", "2", "wget", "-q", "-O-", f"http://{address}:8000"),
              walked.log)  # fmt: skip
        assert "Welcome to nginx" in fetched(f"http://{address}:8000")
        assert "Welcome to nginx" in fetched(f"http://127.0.0.1:{node_port}")
        assert "Welcome to nginx" in client("timeout", "2", "wget", "-q", "-O-", "http://web:8000")
        walked.kubectl("scale", "deployment/served", "--replicas=0")
        until(lambda: "refused" in client("timeout", "2", "wget", "-q", "-O-", f"http://{address}:8000"), walked.log)
    finally:
        walked.kubectl("delete", "service/web", "deployment/served", "--cascade=foreground", "--wait")


def test_a_pod_reaches_the_api_by_its_service_and_account(walked: Cluster, client: Callable[..., str]) -> None:
    said = client("sh", "-c", "echo $KUBERNETES_SERVICE_HOST; cat /var/run/secrets/kubernetes.io/serviceaccount/token")
    address, token = said.split()
    assert address == walked.get("service/kubernetes")["spec"]["clusterIP"]
    # busybox speaks no TLS of today, so the machine asks in the pod's name; the pod shows that the port answers.
    assert client("nc", "-w", "2", address, "443", "-e", "true") == ""
    found = json.loads(fetched(f"https://{address}/api", Authorization=f"Bearer {token}"))
    assert found["kind"] == "APIVersions"


def test_pods_have_the_clusters_names_and_those_of_outside(client: Callable[..., str]) -> None:
    resolver = client("cat", "/etc/resolv.conf")
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in resolver
    assert "options ndots:5" in resolver
    assert "kubernetes.default.svc.cluster.local" in client("nslookup", "kubernetes.default.svc.cluster.local")
    assert "NXDOMAIN" in client("nslookup", "nobody.default.svc.cluster.local")


def pod(name: str, *command: str) -> dict[str, object]:
    container = {"name": "c", "image": "busybox:latest", "command": list(command)}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, "restartPolicy": "Never"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def test_a_policy_holds_before_a_pods_first_packet(walked: Cluster) -> None:
    shut = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "shut"},
        "spec": {"podSelector": {"matchLabels": {"app": "locked"}}, "policyTypes": ["Egress"]},
    }
    walked.kubectl("run", "policed", "--image=nginx:latest")
    try:
        walked.kubectl("wait", "--for=condition=Ready", "pod/policed", "--timeout=60s")
        url = f"http://{walked.get('pod/policed')['status']['podIP']}"
        asks = pod("free", "sh", "-c", f"timeout 3 wget -q -O- {url} >/dev/null && echo passed || echo held")
        # The policy is there first, so the pod's first packet is the first that it could let slip.
        walked.kubectl("apply", "-f", "-", stdin=json.dumps(shut))
        for name in ("locked", "free"):
            made = {**asks, "metadata": {"name": name, "labels": {"app": name}}}
            walked.kubectl("apply", "-f", "-", stdin=json.dumps(made))
        walked.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/locked", "pod/free", "--timeout=60s")
        assert "passed" in walked.kubectl("logs", "free")
        assert "held" in walked.kubectl("logs", "locked")
        # The node reaches what it probes, and a changed label counts at once.
        walked.kubectl("label", "pod/policed", "app=locked")
        assert "Welcome to nginx" in fetched(url)
    finally:
        walked.kubectl("delete", "pod/policed", "pod/locked", "pod/free", "networkpolicy/shut", "--ignore-not-found",
                       "--wait")  # fmt: skip


def test_an_ingress_is_served_as_long_as_there_is_one(walked: Cluster) -> None:
    http = json.loads((walked.data_dir / "options.json").read_text())["ingress_http_port"]
    walked.kubectl("run", "page", "--image=nginx:latest", "--port=80", "--expose")
    try:
        walked.kubectl("create", "ingress", "page", "--rule=page.example.org/*=page:80")
        walked.kubectl("wait", "--for=condition=Ready", "pod/page", "--timeout=60s")
        until(lambda: "Welcome to nginx" in answered(http, "page.example.org"), walked.log)
        assert answered(http, "other.example.org").startswith("HTTP Error 404")
        until(lambda: walked.get("ingress/page")["status"]["loadBalancer"] != {}, walked.log)
    finally:
        walked.kubectl("delete", "pod/page", "service/page", "ingress/page", "--wait")
    until(lambda: "refused" in answered(http, "page.example.org"), walked.log)


def test_a_service_that_takes_a_programs_port_says_so(walked: Cluster) -> None:
    walked.kubectl("create", "service", "nodeport", "taking", "--tcp=80:80")
    port = walked.get("service/taking")["spec"]["ports"][0]["nodePort"]
    try:
        with socket.create_server(("127.0.0.1", port)):
            # Any change of a Service makes the machine's listeners be looked at.
            walked.kubectl("label", "service/taking", "looked=at")
            until(lambda: f"node port {port}/tcp is also listened on by" in walked.kubectl("events"), walked.log)
            said = walked.cli("explain-service", "taking").stdout
            assert f"note: node port {port}/tcp is also listened on by" in said
            assert "no pod of namespace default has its labels app=taking" in said
    finally:
        walked.kubectl("delete", "service/taking")


def answered(port: int, host: str) -> str:
    """The page that nginx serves of that host, or why there is none."""
    try:
        return fetched(f"http://127.0.0.1:{port}", Host=host)
    except OSError as error:
        return str(error)


def test_a_running_clusters_ranges_meet_no_route_but_its_own(walked: Cluster) -> None:
    found = json.loads(walked.cli("doctor", "--output", "json", check=False).stdout)["findings"]
    ranges = [each for each in found if each["check"] == "ranges"]
    assert len(ranges) == 2 and all(each["found"].endswith("is free") for each in ranges), ranges
