"""A node's network in a namespace of its own, with pods that answer, for the proxy's tests.

    unshare --net --mount python -m tests.contract.proxied_node DIRECTORY

Reads commands from standard input, a line of JSON each, and answers likewise: `apply` makes the proxy's table lead as
the given ports say, `ask` sends from a pod or the host, what comes back is who answered and whom it saw.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from kubelet.nftables import Ruleset, changed
from kubelet.proxy import conntrack, route
from kubelet.proxy.ruleset import created, ruleset
from kubelet.proxy.services import Endpoint, ServicePort
from machinery.linux import nft
from runtime.config import RuntimeConfig
from runtime.network.bridge import BridgeNetwork

PODS = ("a", "b", "c")
POD_CIDR, SERVICE_CIDR = "10.244.0.0/16", "10.96.0.0/16"
TCP, UDP = 8080, 5353

_SERVER = """
import asyncio, sys
name = sys.argv[1]
async def tcp(reader, writer):
    writer.write(f"{name} {writer.get_extra_info('peername')[0]}".encode())
    await writer.drain()
    writer.close()
class Udp(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, peer): self.transport.sendto(f"{name} {peer[0]}".encode(), peer)
async def main():
    await asyncio.start_server(tcp, "0.0.0.0", 8080)
    await asyncio.get_running_loop().create_datagram_endpoint(Udp, ("0.0.0.0", 5353))
    print("listening", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
_CLIENT = """
import json, socket, sys
kind, address, port, source_port = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
try:
    if kind == "tcp":
        with socket.create_connection((address, port), timeout=2) as client:
            print(client.recv(200).decode())
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(2)
            client.bind(("", source_port))
            client.connect((address, port))
            client.send(b"?")
            print(client.recv(200).decode())
except OSError as error:
    print("error " + type(error).__name__)
"""


class Node:
    """Bridge, pods and the proxy's table."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        self._network = BridgeNetwork(
            RuntimeConfig(root=directory, run=directory, socket=directory / "s", instance="prox", pod_cidr=POD_CIDR)
        )
        self._network.set_up()
        self.addresses: dict[str, str] = {}
        self._pids: dict[str, int] = {}
        for name in PODS:
            holder = stack.enter_context(_child("unshare", "--net", "sleep", "infinity"))
            self._pids[name] = holder.pid
            namespace = Path(f"/proc/{holder.pid}/ns/net")
            while namespace.readlink() == Path("/proc/self/ns/net").readlink():
                pass
            self.addresses[name] = self._network.attach(f"{name}0000000", namespace)
            server = stack.enter_context(_child(*self._inside(name), sys.executable, "-c", _SERVER, name))
            assert server.stdout is not None
            server.stdout.readline()
        self._applied: Ruleset | None = None
        self._ports: list[ServicePort] = []

    def _inside(self, pod: str) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{self._pids[pod]}/ns/net") if pod else ()

    def apply(self, ports: list[Mapping[str, Any]]) -> str:
        wanted = [self._port(port) for port in ports]
        after = ruleset(wanted)
        if self._applied is None:
            route.lead(SERVICE_CIDR)
            commands = created("proxied", after, POD_CIDR)
        else:
            commands = changed("proxied", self._applied, after)
        if commands:
            nft.run(commands)
        conntrack.forget(conntrack.stale(self._ports, wanted))
        self._applied, self._ports = after, wanted
        return "applied"

    def _port(self, said: Mapping[str, Any]) -> ServicePort:
        def endpoints(names: str, port: int) -> tuple[Endpoint, ...]:
            return tuple(Endpoint(self.addresses[name], port) for name in names)

        fields = dict(said)
        led = endpoints(fields.pop("to"), TCP if said.get("protocol", "tcp") == "tcp" else UDP)
        lists = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
        base: dict[str, Any] = {
            "namespace": "d",
            "service": "s",
            "name": "",
            "protocol": "tcp",
            "internal": led,
            "external": led,
        }
        return ServicePort(**{**base, **lists})

    def ask(self, pod: str, kind: str, address: str, port: int, source_port: int = 0) -> str:
        address = self.addresses.get(address, address)
        client = [*self._inside(pod), sys.executable, "-c", _CLIENT, kind, address, str(port), str(source_port)]
        return subprocess.run(client, capture_output=True, text=True, check=True).stdout.strip()

    def run(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def _child(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main(directory: Path) -> None:
    with ExitStack() as stack:
        node = Node(stack, directory)
        print(json.dumps(node.addresses), flush=True)
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            print(json.dumps(getattr(node, name)(*arguments)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
