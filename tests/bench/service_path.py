"""What the way through a Service costs beside the direct way to the pod, in a network namespace of its own.

    unshare --net python -m tests.bench.service_path

A pod asks another one, by its address and by the Service's, in turns, so that both see the same machine. Prints its
figures as a line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from machinery.ip_families import IPV4
from tests.bench import own_network
from tests.contract.proxied_node import Node

_ROUNDS, _ADDRESS = 40, "10.96.0.10"

_SERVER = """
import socket, threading
def take(listening, serve):
    while True:
        client, _ = listening.accept()
        with client:
            serve(client)
def drink(client):
    while client.recv(1 << 20):
        pass
listening = [socket.create_server(("0.0.0.0", port), backlog=1024) for port in (7001, 7002)]
print("listening", flush=True)
threading.Thread(target=take, args=(listening[0], lambda client: None), daemon=True).start()
take(listening[1], drink)
"""
_CLIENT = """
import json, socket, sys, time
def connections(address, seconds=0.1):
    made, ends = 0, time.monotonic() + seconds
    while time.monotonic() < ends:
        with socket.create_connection((address, 7001)) as one:
            one.recv(1)
        made += 1
    return made / seconds
def throughput(address, seconds=0.1):
    piece, sent = bytes(1 << 20), 0
    with socket.create_connection((address, 7002)) as one:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            one.sendall(piece)
            sent += len(piece)
        return sent / (time.monotonic() - began) / 1e6
rounds, *addresses = int(sys.argv[1]), *sys.argv[2:]
found = [[[measure(address) for address in addresses] for measure in (connections, throughput)] for _ in range(rounds)]
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Figures:
    """Connections a second and MB a second through the Service, and as parts of the direct way's."""

    connections: float
    connections_ratio: float
    throughput: float
    throughput_ratio: float


async def measured() -> Figures:
    """The same in a process and namespace of its own."""
    return Figures(**await own_network.figures("tests.bench.service_path"))


def main() -> Figures:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, ExitStack() as stack:
        node = Node(stack, Path(directory), IPV4, "")
        ports = [{"port": port, "cluster_ip": _ADDRESS, "name": str(port)} for port in (7001, 7002)]
        node.lead("a", ports)
        command = [*node.inside("a"), sys.executable, "-c", _SERVER]
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(server.kill)
        assert server.stdout is not None
        server.stdout.readline()
        command = [*node.inside("b"), sys.executable, "-c", _CLIENT, str(_ROUNDS), node.addresses["a"], _ADDRESS]
        rounds = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        connections, throughput = zip(*rounds, strict=True)
        return Figures(*_compared(connections), *_compared(throughput))


def _compared(rounds: tuple[list[float], ...]) -> tuple[float, float]:
    """The median by the Service, and its part of the direct one in the same round."""
    return median(service for _, service in rounds), median(service / direct for direct, service in rounds)


if __name__ == "__main__":
    print(json.dumps(asdict(main())))
