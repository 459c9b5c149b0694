"""A node's network in a namespace of its own, with pods that answer, for the proxy's tests.

    unshare --net --mount python -m tests.contract.proxied_node DIRECTORY FAMILY [FIREWALL]

Reads commands from standard input, a line of JSON each, and answers likewise: `apply` makes the proxy's table lead as
the given ports say, `police` makes the policies' hold, `ask` sends from a pod or the host, what comes back is who
answered and whom it saw. Beside the pods a, b and c there are the host h and a machine o outside. Where FAMILY is IPv6
pods have addresses of both, and those of IPv6 are asked. With FIREWALL its rules (nft's language) are there first.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from kubelet.nftables import Ruleset, changed
from kubelet.policy.policies import names_resident, policy, residents
from kubelet.policy.ruleset import created as created_policies
from kubelet.policy.ruleset import ruleset as policy_rules
from kubelet.proxy import conntrack, route
from kubelet.proxy.ruleset import created, ruleset
from kubelet.proxy.services import Endpoint, ServicePort
from machinery.ip_families import FAMILIES, IPV6, Family
from machinery.linux import nft, nft_events
from machinery.structs import replace
from runtime.config import RuntimeConfig
from runtime.network.bridge import BridgeNetwork
from runtime.network.network import Member
from runtime.network.rules import Forward
from tests.contract.both_families import GATEWAY, OUTSIDE, POD_CIDR, ROUTER, SERVICE_CIDR, said

PODS = ("a", "b", "c")
TCP, UDP = 8080, 5353

_PORTS = [{"name": "web", "containerPort": TCP}, {"name": "dns", "containerPort": UDP, "protocol": "UDP"}]
LABELS = {"a": ("d", {"app": "a", "tier": "front"}), "b": ("d", {"app": "b"}), "c": ("other", {"app": "c"})}
"""Each pod's namespace and labels."""
NAMESPACES = {"d": {"team": "one"}, "other": {"team": "two"}, "kube-system": {}}

_PEER = """
import asyncio, json, socket, sys
name, everywhere = sys.argv[1:]
async def tcp(reader, writer):
    writer.write(f"{name} {writer.get_extra_info('peername')[0]}".encode())
    await writer.drain()
    writer.close()
class Udp(asyncio.DatagramProtocol):
    def connection_made(self, transport): self.transport = transport
    def datagram_received(self, data, peer): self.transport.sendto(f"{name} {peer[0]}".encode(), peer)
async def answer(kind, address, port, source_port):
    if kind == "tcp":
        reader, writer = await asyncio.open_connection(address, port)
        said = await reader.read(200)
        writer.close()
        return said
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.bind(("", source_port))
        client.connect((address, port))
        client.send(b"?")
        return await asyncio.get_running_loop().sock_recv(client, 200)
async def ask(number, seconds, *question):
    try:
        said = (await asyncio.wait_for(answer(*question), seconds)).decode()
    except (OSError, TimeoutError) as error:
        said = "error " + type(error).__name__
    print(json.dumps([number, said]), flush=True)
async def main():
    for port in (8080, 8081, 8090):
        await asyncio.start_server(tcp, everywhere, port)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Udp, (everywhere, 5353))
    questions = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    print("listening", flush=True)
    tasks = []
    while line := await questions.readline():
        tasks.append(loop.create_task(ask(*json.loads(line))))
asyncio.run(main())
"""


class Node:
    """Bridge, pods and the proxy's table."""

    def __init__(self, stack: ExitStack, directory: Path, family: Family, firewall: str) -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        self._family = family
        ranges = tuple(dict.fromkeys((POD_CIDR, said(family, POD_CIDR))))
        self._network = BridgeNetwork(
            RuntimeConfig(root=directory, run=directory, socket=directory / "s", instance="prox", pod_cidrs=ranges)
        )
        nft.run(firewall)
        self._changes = stack.enter_context(nft_events.listener())
        self._network.set_up()
        self.addresses: dict[str, str] = said(family, {"h": GATEWAY, "o": OUTSIDE})
        self._pids: dict[str, int] = {}
        self._peers: dict[str, subprocess.Popen[str]] = {}
        for name in PODS:
            member = Member(f"{name}0000000", name, "", "", self._hold(stack, name))
            self.addresses[name] = self._network.attach(member)[-1]
        self._connect_outside(self._hold(stack, "o"))
        for name in (*PODS, "h", "o"):
            peer = stack.enter_context(
                _child(*self.inside(name), sys.executable, "-c", _PEER, name, said(family, "0.0.0.0"))
            )
            assert peer.stdout is not None
            peer.stdout.readline()
            self._peers[name] = peer
        self._applied: Ruleset | None = None
        self._policed: Ruleset | None = None
        self._ports: list[ServicePort] = []

    def inside(self, pod: str) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{self._pids[pod]}/ns/net") if pod in self._pids else ()

    def _hold(self, stack: ExitStack, name: str) -> Path:
        """A network namespace of its own."""
        holder = stack.enter_context(_child("unshare", "--net", "sleep", "infinity"))
        self._pids[name] = holder.pid
        namespace = Path(f"/proc/{holder.pid}/ns/net")
        while namespace.readlink() == Path("/proc/self/ns/net").readlink():
            pass
        return namespace

    def _connect_outside(self, namespace: Path) -> None:
        """A machine on a network beside the host's, whose way to the pods leads by the host."""
        pid = str(self._pids["o"])
        self.run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", pid)
        router, outside, length, quick = f"{ROUTER}", OUTSIDE, 24, ""
        if self._family is IPV6:
            router, outside, length, quick = said(IPV6, ROUTER), said(IPV6, OUTSIDE), 64, "nodad"
            # Who passes packets on asks for neighbours by this one.
            self.run("ip", "addr", "add", "fe80::1/64", "dev", "out0", quick)
        for command in (f"addr add {router}/{length} dev out0 {quick}", "link set out0 up"):
            self.run("ip", *command.split())
        for command in (f"addr add {outside}/{length} dev eth0 {quick}", "link set eth0 up", "link set lo up",
                        f"route add default via {router}"):  # fmt: skip
            self.run(*self.inside("o"), "ip", *command.split())

    def police(self, policies: list[Any], held: Mapping[str, str]) -> str:
        """Makes the policies hold; `held` are labels' values of `app` that differ from what pods began with."""
        pods = [
            {
                "metadata": {"name": name, "namespace": LABELS[name][0],
                             "labels": {**LABELS[name][1], **({"app": held[name]} if name in held else {})}},
                "spec": {"containers": [{"ports": _PORTS}]},
                "status": {"podIPs": [{"ip": self.addresses[name]}]},
            }
            for name in PODS
        ]  # fmt: skip
        namespaces = [{"metadata": {"name": name, "labels": labels}} for name, labels in NAMESPACES.items()]
        dns = {
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
            "spec": {
                "clusterIP": said(self._family, "10.96.0.10"),
                "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}],
            },
        }
        names = names_resident(dns, namespaces)
        family = self._family
        after = policy_rules(list(map(policy, policies)), residents(pods, namespaces, {}), names, family)
        before, self._policed = self._policed, after
        if before is None:
            commands = created_policies("policed", after, family)
        else:
            commands = changed(family.table("policed"), before, after)
        if commands:
            nft.run(commands)
        return commands

    def apply(self, ports: list[Mapping[str, Any]]) -> str:
        wanted = [self._port(port) for port in ports]
        after = ruleset(wanted)
        if self._applied is None:
            route.lead([said(self._family, SERVICE_CIDR)], "mkpy0")
            commands = created("proxied", after, said(self._family, POD_CIDR))
        else:
            commands = changed(self._family.table("proxied"), self._applied, after)
        if commands:
            nft.run(commands)
        conntrack.forget(conntrack.stale(self._ports, wanted))
        self._applied, self._ports = after, wanted
        return "applied"

    def follow(self) -> list[str]:
        """Lets pods pass the tables that have changed, as the runtime does when it is told of them; their names."""
        found: set[nft_events.Table] = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                found.update(nft_events.tables(self._changes.recv(1 << 16)))
        self._network.pass_firewalls(found)
        return sorted(table.name for table in found)

    def publish(self, pod: str, port: int) -> str:
        self._network.publish([Forward("tcp", "", port, self.addresses[pod], TCP)] if pod else [])
        return "published"

    def lead(self, pod: str, ports: list[Mapping[str, Any]]) -> None:
        """Makes each port lead to the same port of the pod."""
        made = [self._port({**port, "to": pod}) for port in ports]
        led = [(Endpoint(self.addresses[pod], port.port),) for port in made]
        nft.run(
            created(
                "proxied",
                ruleset(replace(port, internal=to, external=to) for port, to in zip(made, led, strict=True)),
                POD_CIDR,
            )
        )

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

    def ask(self, questions: list[tuple[str, str, str, int, int, float]]) -> list[str]:
        """The answers to (who asks, protocol, address or name, port, source port, patience), all asked at once."""
        answers = [""] * len(questions)
        for number, (who, kind, address, port, source_port, seconds) in enumerate(questions):
            asked = (number, seconds, kind, self.addresses.get(address, address), port, source_port)
            peer = self._peers[who or "h"].stdin
            assert peer is not None
            peer.write(json.dumps(asked) + "\n")
            peer.flush()
        for who, *_ in questions:
            peer = self._peers[who or "h"].stdout
            assert peer is not None
            number, said = json.loads(peer.readline())
            answers[number] = said
        return answers

    def run(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def _child(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def main(directory: Path, family: str, firewall: str) -> None:
    with ExitStack() as stack:
        node = Node(stack, directory, next(each for each in FAMILIES if each.name == family), firewall)
        print(json.dumps(node.addresses), flush=True)
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            print(json.dumps(getattr(node, name)(*arguments)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], "".join(sys.argv[3:]))
