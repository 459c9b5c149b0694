"""The DNS server over its sockets, from the API's objects, with a resolver of outside that answers on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from apiserver.server import ApiServer
from machinery.api.resources import SERVICES
from minikube_py.addons.dns import service
from minikube_py.addons.dns.server import DnsServer
from tests.contract.apiserver_running import running

DOMAIN, HERE = "cluster.local", "127.0.0.1"


class Outside(asyncio.DatagramProtocol):
    """A resolver that knows `www.example.org` and counts its questions."""

    def __init__(self) -> None:
        self.count = 0
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "sendto")
        self._transport = transport  # type: ignore[assignment]
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.count += 1
        question = DNSRecord.parse(data)
        reply = question.reply()
        if str(question.q.qname) == "www.example.org.":
            reply.add_answer(RR(question.q.qname, QTYPE.A, ttl=60, rdata=A("192.0.2.80")))
        else:
            reply.header.rcode = RCODE.NXDOMAIN
        assert self._transport is not None
        self._transport.sendto(reply.pack(), addr)


class World:
    def __init__(self, api: ApiServer, dns: DnsServer, outside: Outside) -> None:
        self.api = api
        self.client = api.client("tester", ("system:masters",))
        self.dns = dns
        self.outside = outside

    async def ask(self, name: str, kind: str = "A", *, tcp: bool = False) -> DNSRecord:
        return DNSRecord.parse(await asyncio.to_thread(self._ask, name, kind, tcp))

    def _ask(self, name: str, kind: str, tcp: bool) -> bytes:  # noqa: FBT001
        question: bytes = DNSRecord.question(name, kind).pack()
        if not tcp:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sent:
                sent.settimeout(5)
                sent.sendto(question, (HERE, self.dns.port))
                return sent.recv(65535)
        with socket.create_connection((HERE, self.dns.port), timeout=5) as stream, stream.makefile("rb") as answers:
            stream.sendall(len(question).to_bytes(2, "big") + question)
            return answers.read(int.from_bytes(answers.read(2), "big"))

    async def addresses(self, name: str, *, tcp: bool = False) -> list[str]:
        return [str(record.rdata) for record in (await self.ask(name, tcp=tcp)).rr if record.rtype == QTYPE.A]


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[World]:
    async with running(directory) as api:
        loop = asyncio.get_running_loop()
        transport, outside = await loop.create_datagram_endpoint(Outside, local_addr=("127.0.0.2", 0))
        dns = DnsServer(api.cache, DOMAIN, HERE, resolvers=lambda: ("127.0.0.2",), outside_port=outside.port)
        try:
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                task = group.create_task(dns.run())
                await dns.ready.wait()
                yield World(api, dns, outside)
                task.cancel()
        finally:
            transport.close()


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_service_has_its_name_the_moment_it_is_made(tmp_path: Path, *, tcp: bool) -> None:
    async with serving(tmp_path) as world:
        name = f"web.default.svc.{DOMAIN}"
        assert (await world.ask(name, tcp=tcp)).header.rcode == RCODE.NXDOMAIN
        made = await world.client.create(
            SERVICES, {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}, "default"
        )
        assert await world.addresses(name, tcp=tcp) == [made["spec"]["clusterIP"]]
        reversed_name = ".".join(reversed(made["spec"]["clusterIP"].split("."))) + ".in-addr.arpa"
        (pointer,) = (await world.ask(reversed_name, "PTR")).rr
        assert str(pointer.rdata) == f"{name}."
        await world.client.delete(SERVICES, "web", "default")
        assert (await world.ask(name, tcp=tcp)).header.rcode == RCODE.NXDOMAIN


async def test_a_question_comes_back_in_the_case_it_was_asked_in(tmp_path: Path) -> None:
    # Resolvers tell forged answers by it, so no one may get what was packed for another.
    async with serving(tmp_path) as world:
        for name in (f"kubernetes.default.svc.{DOMAIN}", f"KuberNetes.default.svc.{DOMAIN}"):
            answer = await world.ask(name)
            assert str(answer.q.qname) == f"{name}."
            assert len(answer.rr) == 1


async def test_the_next_start_listens_where_the_last_did_unless_someone_else_does(tmp_path: Path) -> None:
    async with serving(tmp_path) as world:
        api = world.api
        assert service.published_port(api.cache) == 0
        await service.publish(world.client, "10.96.0.10", "192.0.2.9", 40053)
        await api.cache.wait_for(api.cache.revision)
        assert service.published_port(api.cache) == 40053
        other = DnsServer(api.cache, DOMAIN, HERE, resolvers=lambda: ("127.0.0.2",), port=world.dns.port)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            task = group.create_task(other.run())
            await other.ready.wait()
            assert other.port not in (0, world.dns.port)
            task.cancel()


async def test_a_name_without_that_type_is_no_error(tmp_path: Path) -> None:
    async with serving(tmp_path) as world:
        answer = await world.ask(f"kubernetes.default.svc.{DOMAIN}", "AAAA")
        assert (answer.header.rcode, answer.rr, answer.header.aa) == (RCODE.NOERROR, [], 1)
        assert [record.rtype for record in answer.auth] == [QTYPE.SOA]


async def test_names_of_outside_are_asked_outside_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as world:
        assert await world.addresses("www.example.org") == ["192.0.2.80"]
        assert await world.addresses("www.example.org") == ["192.0.2.80"]
        assert world.outside.count == 1
        assert (await world.ask("nobody.example.org")).header.rcode == RCODE.NXDOMAIN


async def test_an_external_name_is_followed(tmp_path: Path) -> None:
    async with serving(tmp_path) as world:
        spec = {"type": "ExternalName", "externalName": "www.example.org"}
        await world.client.create(SERVICES, {"metadata": {"name": "away"}, "spec": spec}, "default")
        answer = await world.ask(f"away.default.svc.{DOMAIN}")
        assert [(QTYPE[record.rtype], str(record.rdata)) for record in answer.rr] == [
            ("CNAME", "www.example.org."),
            ("A", "192.0.2.80"),
        ]


async def test_what_is_no_question_harms_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path) as world:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sent:
            for junk in (b"", b"\0" * 5, b"\xff" * 40, DNSRecord.question("a.b").reply().pack()):
                sent.sendto(junk, (HERE, world.dns.port))
        assert await world.addresses(f"kubernetes.default.svc.{DOMAIN}")


async def test_the_cluster_has_its_dns_as_a_service(tmp_path: Path) -> None:
    async with serving(tmp_path) as world:
        address = "10.96.0.10"
        for port in (world.dns.port, world.dns.port + 1):
            await service.publish(world.client, address, "10.244.0.1", port)
        assert await world.addresses(f"kube-dns.kube-system.svc.{DOMAIN}") == [address]
