"""Which programs of the machine a Service keeps from their packets."""

from __future__ import annotations

import os
import socket

import pytest

from kubelet.proxy.services import ServicePort
from kubelet.proxy.shadows import claimed, shadows
from machinery.linux.listeners import Listener, holder, listeners, parse

ALL = Listener("tcp", "0.0.0.0", 80, 1)  # noqa: S104 - what a program listens on
SSH = Listener("tcp", "192.0.2.7", 22, 2)
NODE_PORT = Listener("tcp", "127.0.0.1", 30080, 3)


def port(number: int, **more: object) -> ServicePort:
    return ServicePort("d", "web", "", "tcp", number, "10.96.0.9", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("claim", "whats"),
    [
        (port(80), []),
        (port(80, load_balancer_ips=("192.0.2.7",)), ["port 80/tcp of 192.0.2.7"]),
        (port(22, load_balancer_ips=("192.0.2.7",)), ["port 22/tcp of 192.0.2.7"]),
        (port(22, external_ips=("192.0.2.8",)), []),
        # Nobody here listens on an address that is not this machine's.
        (port(80, external_ips=("198.51.100.1",)), []),
        (port(8080, node_port=30080), ["node port 30080/tcp"]),
        (port(8080, node_port=30081), []),
    ],
)
def test_what_a_service_takes_from_a_program(claim: ServicePort, whats: list[str]) -> None:
    found = shadows([claim], [ALL, SSH, NODE_PORT], {"192.0.2.7", "192.0.2.8"})
    assert [each.what for each in found] == whats


def test_another_protocol_is_another_port() -> None:
    assert not list(shadows([port(80, node_port=80)], [Listener("udp", "::", 80, 1)], ()))


def test_an_event_names_port_and_program() -> None:
    (found,) = shadows([port(8080, node_port=30080)], [NODE_PORT], ())
    assert found.said("nginx (process 12)") == (
        "node port 30080/tcp is also listened on by nginx (process 12) of this machine, at 127.0.0.1: "
        "connections reach the Service, not the program"
    )


def test_a_service_with_an_address_of_its_own_alone_takes_nothing() -> None:
    service = {"metadata": {"namespace": "d", "name": "web"}, "spec": {"clusterIP": "10.96.0.9"}}
    assert claimed([{**service, "spec": {**service["spec"], "ports": [{"port": 80}]}}]) == []
    assert len(claimed([{**service, "spec": {**service["spec"], "ports": [{"port": 80, "nodePort": 30080}]}}])) == 1


def test_the_kernels_table_is_read_as_it_writes_it() -> None:
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1\n"
        "   1: 0100007F:1F91 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 12346 1\n"
    )
    assert list(parse("tcp", table)) == [Listener("tcp", "127.0.0.1", 8080, 12345)]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_listener_of_this_machine_is_found_with_its_program(family: int, kind: int) -> None:
    with socket.socket(family, kind) as listening:
        listening.bind(("", 0))
        if kind == socket.SOCK_STREAM:
            listening.listen()
        protocol, number = ("tcp" if kind == socket.SOCK_STREAM else "udp"), listening.getsockname()[1]
        (found,) = [each for each in listeners() if (each.protocol, each.port) == (protocol, number)]
        assert found.is_everywhere
        assert holder(found.inode).endswith(f"(process {os.getpid()})")
