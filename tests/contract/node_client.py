"""The test's end of `proxied_node`: a node's network in a namespace of its own, asked by lines of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machinery.ip_families import IPV4, Family
from tests.contract.both_families import said as said_of

ADDRESS, PORT = "10.96.0.10", 80
_LONG, _SHORT = 30.0, 0.3


class Node:
    """The node in its namespace, driven by lines of JSON; addresses of IPv4 mean those of `family`."""

    def __init__(self, process: subprocess.Popen[str], family: Family) -> None:
        self._process = process
        self.family = family
        self.addresses: dict[str, str] = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the node has ended"
        return json.loads(line)

    def _call(self, *said: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said_of(self.family, said)) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def apply(self, *ports: dict[str, Any]) -> None:
        self._call("apply", ports)

    def follow(self) -> list[str]:
        """The names of the tables that have changed since the last time; those of firewalls are open again."""
        found: list[str] = self._call("follow")
        return found

    def publish(self, pod: str, port: int) -> None:
        """Opens a port of the host that leads to the pod's; with no pod none is open."""
        self._call("publish", pod, port)

    def police(self, *policies: dict[str, Any], **apps: str) -> str:
        """The commands that made these policies hold; `apps` are pods whose label `app` is another than at first."""
        commands: str = self._call("police", policies, apps)
        return commands

    def tcp(self, pod: str, address: str = ADDRESS, port: int = PORT, *, seconds: float = 2) -> list[str]:
        """Who answered, and whom it saw; ["error", NAME] where nobody did."""
        return self.ask((pod, "tcp", address, port, 0, seconds))[0]

    def udp(self, pod: str, source_port: int = 0, *, seconds: float = 2) -> list[str]:
        return self.ask((pod, "udp", ADDRESS, 53, source_port, seconds))[0]

    def ask(self, *questions: tuple[str, str, str, int, int, float]) -> list[list[str]]:
        """The answers to (who asks, protocol, address or name, port, source port, patience), asked at once."""
        return [said.split() for said in self._call("ask", questions)]

    def passing(self, pairs: str, expected: str) -> str:
        """Those of the pairs (`a>b`, `a>b:8081`, `a>b:5353/udp`: who asks whom) where the asked one answered.

        What is expected to pass has long for it, the rest a moment, as it is dropped.
        """
        asked = pairs.split()
        answers = self.ask(*(_question(pair, _LONG if pair in expected.split() else _SHORT) for pair in asked))
        return " ".join(pair for pair, said in zip(asked, answers, strict=True) if said[0] == pair[2])

    def run(self, *command: str) -> str:
        found: str = self._call("run", *command)
        return found


def _question(pair: str, seconds: float) -> tuple[str, str, str, int, int, float]:
    """`a>b:5353/udp`: names are of one letter."""
    port, _, kind = pair[4:].partition("/")
    return pair[0], kind or "tcp", pair[2], int(port or 8080), 0, seconds


@contextmanager
def running(directory: Path, firewall: str = "", family: Family = IPV4) -> Iterator[Node]:
    """A node of one family, or of both where the asked one is IPv6; `firewall` was on the machine before it."""
    module = "tests.contract.proxied_node"
    command = ["unshare", "--net", sys.executable, "-m", module, str(directory), family.name, firewall]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        try:
            yield Node(process, family)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
