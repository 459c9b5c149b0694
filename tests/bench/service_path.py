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

_ROUNDS, _ADDRESS = 100, "10.96.0.10"
# Each way leads to ports of its own: of connections that are just over, one by the Service's address could get in the
# way of a direct one between the same ports, and the kernel would look for others.
_DIRECT, _BY_SERVICE = (7001, 7002), (7011, 7012)

_SERVER = """
import socket, sys, threading
def take(listening, serve):
    while True:
        client, _ = listening.accept()
        with client:
            serve(client)
def drink(client):
    while client.recv(1 << 20):
        pass
for port in map(int, sys.argv[1:]):
    serve = drink if port % 10 == 2 else lambda client: None
    listening = socket.create_server(("0.0.0.0", port), backlog=1024)
    threading.Thread(target=take, args=(listening, serve)).start()
print("listening", flush=True)
"""
_CLIENT = """
import json, socket, sys, time
def connections(address, port, seconds=0.1):
    made, ends = 0, time.monotonic() + seconds
    while time.monotonic() < ends:
        with socket.create_connection((address, port)) as one:
            one.recv(1)
        made += 1
    return made / seconds
def throughput(address, port, seconds=0.1):
    piece, sent = bytes(1 << 20), 0
    with socket.create_connection((address, port + 1)) as one:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            one.sendall(piece)
            sent += len(piece)
        return sent / (time.monotonic() - began) / 1e6
rounds, ways = int(sys.argv[1]), [(sys.argv[at], int(sys.argv[at + 1])) for at in (2, 4)]
found = []
for at in range(rounds):
    order = ways if at % 2 else ways[::-1]
    told = [[measure(*way) for way in order] for measure in (connections, throughput)]
    found.append(told if at % 2 else [each[::-1] for each in told])
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
        ports = [{"port": port, "cluster_ip": _ADDRESS, "name": str(port)} for port in _BY_SERVICE]
        node.lead("a", ports)
        command = [*node.inside("a"), sys.executable, "-c", _SERVER, *map(str, (*_DIRECT, *_BY_SERVICE))]
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(server.kill)
        assert server.stdout is not None
        server.stdout.readline()
        ways = (node.addresses["a"], str(_DIRECT[0]), _ADDRESS, str(_BY_SERVICE[0]))
        command = [*node.inside("b"), sys.executable, "-c", _CLIENT, str(_ROUNDS), *ways]
        rounds = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        connections, throughput = zip(*rounds, strict=True)
        return Figures(*_compared(connections), *_compared(throughput))


def _compared(rounds: tuple[list[float], ...]) -> tuple[float, float]:
    """The median by the Service, and its part of the direct one in the same round."""
    return median(service for _, service in rounds), median(service / direct for direct, service in rounds)


if __name__ == "__main__":
    print(json.dumps(asdict(main())))
