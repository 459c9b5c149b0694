"""A cluster whose machine's networks come and go: it stays up, and follows without a restart."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.contract.cri_node import BUSYBOX
from tests.e2e.laptop import Laptop, laptop
from tests.e2e.test_walk import until

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not BUSYBOX.exists(), reason="no busybox at hand")]


@pytest.fixture(scope="module")
def started() -> Iterator[Laptop]:
    home = Path(tempfile.mkdtemp(prefix="minikube-py-home-"))
    environment = {**os.environ, "KUBECONFIG": str(home / "config"), "HOME": str(home)}
    try:
        with laptop(f"l{uuid.uuid4().hex[:8]}", environment) as made:
            yield made
    finally:
        shutil.rmtree(home)


@pytest.fixture
def machine(started: Laptop) -> Iterator[Laptop]:
    """Without any network, before and after."""
    started.wait_known_by(started.bridge_address)
    yield started
    started.disconnect()


def test_a_cluster_starts_and_lives_without_any_network(machine: Laptop) -> None:
    machine.works()
    assert machine.fetched(f"http://{machine.bridge_address}:8000") == "page\n"
    said = machine.cluster.cli("status").stdout
    assert f"network       none: the node is known by {machine.bridge_address}" in said
    # A restart finds what there is.
    machine.cluster.cli("restart")
    machine.works()


def test_all_follow_the_machine_into_another_network(machine: Laptop) -> None:
    before = machine.cluster.get("service/web")["spec"]
    for address in ("192.168.77.5", "172.29.4.9"):
        machine.connect("wifi", address, "default")
        machine.wait_known_by(address)
        machine.works()
        # Others of that network reach load balancers and node ports.
        assert machine.fetched(f"http://{address}:8000", outside=True) == "page\n"
        assert machine.fetched(f"http://{address}:{before['ports'][0]['nodePort']}", outside=True) == "page\n"
        assert address in answered_by(machine.cluster.data_dir / "pki/kubelet.crt")
        assert address in answered_by(machine.cluster.data_dir / "pki/apiserver.crt")
        said = machine.cluster.kubectl("events", "--for", f"node/{node(machine)}")
        assert f"is known by {address} now" in said
        machine.disconnect()
        machine.wait_known_by(machine.bridge_address)
        assert machine.fetched(f"http://{address}:8000") == "", "no rule is left of what is gone"


def test_the_kubelet_shows_a_certificate_for_the_address_that_is_there(machine: Laptop) -> None:
    machine.connect("wifi", "192.168.78.5", "default")
    machine.wait_known_by("192.168.78.5")
    port = machine.cluster.get("node", node(machine))["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    pki = machine.cluster.data_dir / "pki"
    trust = ["--cacert", str(pki / "ca.crt"), "--cert", str(pki / "admin.crt"), "--key", str(pki / "admin.key")]
    assert machine.fetched(f"https://192.168.78.5:{port}/healthz", *trust) == "ok"


def test_the_better_of_two_networks_counts(machine: Laptop) -> None:
    machine.connect("wifi", "192.168.79.5", "default metric 600")
    machine.wait_known_by("192.168.79.5")
    machine.connect("cable", "10.250.3.7", "default metric 100")
    machine.wait_known_by("10.250.3.7")
    machine.works()
    machine.ip("link", "set", "cable", "down")
    machine.wait_known_by("192.168.79.5")
    machine.works()


def test_a_network_without_a_default_route_is_one(machine: Laptop) -> None:
    machine.connect("wifi", "192.168.80.5", "default")
    machine.wait_known_by("192.168.80.5")
    machine.ip("route", "delete", "default")
    machine.works()
    assert machine.fetched("http://192.168.80.5:8000", outside=True) == "page\n"
    said = machine.cluster.cli("status").stdout
    assert "network       192.168.80.5 (wifi), without a default route" in said
    machine.wait_known_by("192.168.80.5")


def test_a_vpn_whose_routes_meet_the_clusters_ranges_takes_nothing_from_it(machine: Laptop) -> None:
    machine.connect("wifi", "192.168.81.5", "default")
    machine.wait_known_by("192.168.81.5")
    pods = machine.cluster.get("pod/web")["status"]["podIP"]
    service = machine.cluster.get("service/web")["spec"]["clusterIP"]
    machine.connect("vpn", "10.251.0.2", "10.0.0.0/8", f"{pods}/32", f"{service}/32", "0.0.0.0/1", "128.0.0.0/1")
    until(lambda: "meets the machine's route to" in machine.cluster.cli("status").stdout, machine.cluster.log)
    machine.works()
    assert machine.fetched(f"http://{pods}:8080") == "page\n"
    assert machine.fetched("http://192.168.81.5:8000") == "page\n"
    machine.wait_known_by("192.168.81.5")
    said = machine.cluster.cli("doctor", check=False).stdout
    assert "warning  ranges" in said
    assert "by vpn" in said


def test_a_load_balancer_leaves_a_port_to_the_program_that_has_it(machine: Laptop) -> None:
    with machine.listening(9000, "mine"):
        machine.cluster.kubectl("create", "service", "loadbalancer", "waiting", "--tcp=9000:8080")
        machine.cluster.kubectl("set", "selector", "service/waiting", "app=web")
        said = "port 9000/TCP is taken by busybox"
        until(lambda: said in machine.cluster.kubectl("events", "--for", "service/waiting"), machine.cluster.log)
        assert machine.cluster.get("service/waiting")["status"]["loadBalancer"] == {}
        assert machine.fetched(f"http://{machine.bridge_address}:9000") == "mine\n"
    path = "{.status.loadBalancer.ingress[0].ip}"
    ours = f"--for=jsonpath={path}={machine.bridge_address}"
    machine.cluster.kubectl("wait", ours, "service/waiting", "--timeout=120s")
    until(lambda: machine.fetched(f"http://{machine.bridge_address}:9000") == "page\n", machine.cluster.log)
    machine.cluster.kubectl("delete", "service/waiting")


def node(machine: Laptop) -> str:
    name: str = machine.cluster.get("nodes")["items"][0]["metadata"]["name"]
    return name


def answered_by(certificate: Path) -> set[str]:
    """The addresses that a certificate names."""
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(address) for address in names.get_values_for_type(x509.IPAddress)}
