"""A cluster of IPv4 and IPv6: pods, Services, names, policies and ports of the machine by both, with kubectl."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from machinery.ip_families import host_port
from minikube_py.config import for_profile
from minikube_py.preflight import with_free_ranges

from .conftest import Cluster, walk
from .test_walk import until

pytestmark = pytest.mark.e2e
SERVE = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"
READY = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}


def pod(name: str, command: str, **container: Any) -> dict[str, Any]:
    fields = ("podIPs", "hostIPs")
    told = [{"name": each, "valueFrom": {"fieldRef": {"fieldPath": f"status.{each}"}}} for each in fields]
    only = {"name": "c", "image": "busybox:latest", "command": ["sh", "-c", command], "env": told, **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [only], "terminationGracePeriodSeconds": 0},
    }


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"port": 8000, "targetPort": 80}]
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": {"app": "web"}, "ports": ports, **spec}}  # fmt: skip


@pytest.fixture(scope="module")
def cluster(make_cluster: Callable[[], Cluster]) -> Cluster:
    made = make_cluster()
    number = int(made.profile[1:], 16)
    site, defaults = f"fd{number >> 24:02x}:{number >> 8 & 0xFFFF:x}", with_free_ranges(for_profile(made.profile))
    pods, services = f"{defaults.pod_cidr[0]},{site}:1::/56", f"{defaults.service_cidr[0]},{site}:2::/112"
    made.cli("start", "--pod-cidr", pods, "--service-cidr", services)
    # The walk starts it again, with images.
    made.cli("stop")
    return walk(made)


@pytest.fixture(scope="module")
def ask(cluster: Cluster) -> Iterator[Callable[..., str]]:
    """Runs a command in a pod beside `web`; its output, also of one that fails."""
    web = pod("web", SERVE, ports=[{"containerPort": 80, "hostPort": port_of(cluster)}], readinessProbe=READY)
    for each in (web, pod("client", "exec sleep 100000")):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(each))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/web", "pod/client", "--timeout=120s")
    yield lambda *command: cluster.kubectl("exec", "client", "--", *command, check=False)
    cluster.kubectl("delete", "pod", "web", "client", "--wait")


def port_of(cluster: Cluster) -> int:
    return 20000 + int(cluster.profile[1:], 16) % 9000


def fetched(host: str, port: int) -> str:
    """What the machine itself gets."""
    command = ["curl", "-sg", "--max-time", "20", f"http://{host_port(host, port)}/"]
    return subprocess.run(command, capture_output=True, text=True).stdout


def test_node_and_pods_have_an_address_of_each_family(cluster: Cluster, ask: Callable[..., str]) -> None:
    (node,) = cluster.get("nodes")["items"]
    internal = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
    assert [":" in each for each in internal] == [False, True]
    assert [each.partition("/")[2] for each in node["spec"]["podCIDRs"]] == ["24", "64"]
    status = cluster.get("pod/client")["status"]
    ips = [each["ip"] for each in status["podIPs"]]
    assert status["podIP"] == ips[0] and [":" in each for each in ips] == [False, True]
    assert [each["ip"] for each in status["hostIPs"]] == internal
    assert ask("sh", "-c", "echo $podIPs $hostIPs").split() == [",".join(ips), ",".join(internal)]
    hosts = ask("cat", "/etc/hosts")
    assert all(f"{ip}\tclient" in hosts for ip in ips)


def test_a_service_of_both_is_reached_by_both_from_pods_and_the_machine(
    cluster: Cluster, ask: Callable[..., str]
) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(service("both", type="NodePort",
                                                                 ipFamilyPolicy="PreferDualStack")))  # fmt: skip
    spec = cluster.get("service/both")["spec"]
    assert spec["ipFamilies"] == ["IPv4", "IPv6"] and len(spec["clusterIPs"]) == 2
    for address in spec["clusterIPs"]:
        until(lambda address=address: fetched(address, 8000) == "hello\n", cluster.log)
        assert ask("timeout", "20", "wget", "-q", "-O-", f"http://{host_port(address, 8000)}/") == "hello\n"
        assert ask("nslookup", address).endswith("name = both.default.svc.cluster.local\n\n")
    said = ask("nslookup", "both.default.svc.cluster.local")
    assert all(f"Address: {address}\n" in said for address in spec["clusterIPs"])
    for each in cluster.get("nodes")["items"][0]["status"]["addresses"]:
        if each["type"] == "InternalIP":
            assert fetched(each["address"], spec["ports"][0]["nodePort"]) == "hello\n"
            assert fetched(each["address"], port_of(cluster)) == "hello\n"
    explained = cluster.cli("explain-service", "both").stdout
    assert f"[{spec['clusterIPs'][1]}]:8000" in explained and "nobody known here drops its packets" in explained


def test_a_service_loses_its_second_address_and_gets_another_as_its_policy_says(
    cluster: Cluster, ask: Callable[..., str]
) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(service("changing", ipFamilies=["IPv6"])))
    (first,) = cluster.get("service/changing")["spec"]["clusterIPs"]
    assert ":" in first

    def families() -> list[str]:
        slices = cluster.get("endpointslices", "-l", "kubernetes.io/service-name=changing")["items"]
        return sorted(each["addressType"] for each in slices)

    until(lambda: families() == ["IPv6"], cluster.log)
    cluster.kubectl("patch", "service/changing", "-p", '{"spec": {"ipFamilyPolicy": "RequireDualStack"}}')
    kept, second = cluster.get("service/changing")["spec"]["clusterIPs"]
    assert kept == first and "." in second
    until(lambda: families() == ["IPv4", "IPv6"], cluster.log)
    until(lambda: fetched(second, 8000) == "hello\n", cluster.log)
    until(lambda: {first, second} <= {each["metadata"]["name"] for each in cluster.get("ipaddresses")["items"]},
          cluster.log)  # fmt: skip
    cluster.kubectl("patch", "service/changing", "-p", '{"spec": {"ipFamilyPolicy": "SingleStack"}}')
    assert cluster.get("service/changing")["spec"]["clusterIPs"] == [first]
    until(lambda: families() == ["IPv6"], cluster.log)
    assert fetched(first, 8000) == "hello\n"
    refused = cluster.kubectl("patch", "service/changing", "-p", '{"spec": {"ipFamilies": ["IPv4"]}}', check=False)
    assert "expected an IPv4 value as indicated by `ipFamilies[0]`" in refused
    cluster.kubectl("delete", "service/changing")


def test_a_policy_holds_for_both_addresses_of_a_pod(cluster: Cluster, ask: Callable[..., str]) -> None:
    ips = [each["ip"] for each in cluster.get("pod/web")["status"]["podIPs"]]
    client = [each["ip"] for each in cluster.get("pod/client")["status"]["podIPs"]]

    def reached() -> list[bool]:
        return [ask("timeout", "2", "wget", "-q", "-O-", f"http://{host_port(ip, 80)}/") == "hello\n" for ip in ips]

    until(lambda: reached() == [True, True], cluster.log)
    block = {"ipBlock": {"cidr": f"{client[1]}/128"}}
    policy: dict[str, Any] = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "shut"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": []},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    until(lambda: reached() == [False, False], cluster.log)
    policy["spec"] |= {"ingress": [{"from": [block]}]}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    until(lambda: reached() == [False, True], cluster.log)
    cluster.kubectl("delete", "networkpolicy/shut")
    until(lambda: reached() == [True, True], cluster.log)


def test_pods_are_found_again_with_both_addresses(cluster: Cluster, ask: Callable[..., str]) -> None:
    before = cluster.get("pod/web")["status"]
    cluster.cli("restart")
    until(lambda: fetched(before["podIPs"][1]["ip"], 80) == "hello\n", cluster.log)
    after = cluster.get("pod/web")["status"]
    assert (after["podIPs"], after["containerStatuses"][0]["restartCount"]) == (before["podIPs"], 0)
    address = cluster.get("service/both")["spec"]["clusterIPs"][1]
    assert ask("timeout", "20", "wget", "-q", "-O-", f"http://{host_port(address, 8000)}/") == "hello\n"
