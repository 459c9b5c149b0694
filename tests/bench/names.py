"""The cluster's DNS: answers a second while the API is asked too, and how long none comes during a restart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import orjson
import yaml
from dnslib import RCODE, DNSRecord

from tests.bench import cases, pressure
from tests.bench.connection import Target
from tests.bench.servers import program

_SECONDS, _IN_FLIGHT = 3.0, 64
_NAME = "kubernetes.default.svc.cluster.local"
_ENDPOINTS = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns"
_WITHIN = 60.0


async def answers() -> tuple[float, float, pressure.Waits]:
    """Answers a second, CPU time in us of each, and how long GETs waited meanwhile."""
    async with program("apiserver,controllers,scheduler,kubelet") as running:
        where = await _address(running.target)
        async with pressure.waits(running.target) as waits:
            before = running.target.cpu_seconds()
            rate = await asyncio.to_thread(_asked, where)
            cpu = (running.target.cpu_seconds() - before) / (rate * _SECONDS) * 1e6
        return rate, cpu, waits


async def _address(target: Target) -> tuple[str, int]:
    """Where the DNS listens, once it does."""
    async with asyncio.timeout(_WITHIN), cases.connections(target, 1) as (one,):
        while True:
            with contextlib.suppress(RuntimeError):
                found = orjson.loads(await one.ask(target.request("GET", _ENDPOINTS)))
                return found["endpoints"][0]["addresses"][0], found["ports"][0]["port"]
            await asyncio.sleep(0.05)


def _asked(where: tuple[str, int]) -> float:
    """Answers a second, with so many questions under way."""
    question = bytes(DNSRecord.question(_NAME).pack())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(where)
        client.settimeout(1)
        for _ in range(_IN_FLIGHT):
            client.send(question)
        count, ends = 0, time.monotonic() + _SECONDS
        while time.monotonic() < ends:
            try:
                reply = client.recv(512)
            except TimeoutError:
                # What got lost is asked again.
                for _ in range(_IN_FLIGHT):
                    client.send(question)
                continue
            if not count and DNSRecord.parse(reply).header.rcode != RCODE.NOERROR:
                raise RuntimeError("the name is not known")
            count += 1
            client.send(question)
    return count / _SECONDS


async def gap() -> float:
    """Seconds without an answer by the Service's address while `restart` runs."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        profile = ["--profile", f"bench-{os.getpid()}", "--data-dir", f"{directory}/data"]
        environment = {**os.environ, "KUBECONFIG": f"{directory}/kubeconfig"}

        async def run(command: str, *options: str) -> None:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "minikube_py", command, *options, *profile,
                stdout=asyncio.subprocess.DEVNULL, env=environment,
            )  # fmt: skip
            if await child.wait():
                raise RuntimeError(f"{command} failed")

        try:
            await run("start")
            options = yaml.safe_load(Path(directory, "data", "options.json").read_text())
            where = (f"{options['service_cidr'][0].rpartition('.')[0]}.10", 53)
            answered, stop = threading.Event(), threading.Event()
            found = asyncio.get_running_loop().run_in_executor(None, _watch, where, answered, stop)
            try:
                if not await asyncio.to_thread(answered.wait, _WITHIN):
                    raise TimeoutError("no name is answered after the start")
                await run("restart")
            finally:
                # The thread asks on until it is told to stop, and nothing ends without it.
                stop.set()
            return await found
        finally:
            await run("uninstall", "--yes")


def _watch(where: tuple[str, int], answered: threading.Event, stop: threading.Event) -> float:
    """The longest time between two answers; the last of them comes after it was told to stop. Tells of the first."""
    question = bytes(DNSRecord.question(_NAME).pack())
    last, longest = 0.0, 0.0
    is_over, ends = False, 0.0
    while not is_over:
        is_last = stop.is_set()
        ends = ends or (time.monotonic() + _WITHIN if is_last else 0.0)
        if is_last and time.monotonic() > ends:
            raise TimeoutError("no name is answered any more")
        # Each from a port of its own, as resolvers do.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.25)
            with contextlib.suppress(OSError):
                client.sendto(question, where)
                reply = client.recv(512)
                if DNSRecord.parse(reply).header.rcode != RCODE.NOERROR:
                    continue
                answered.set()
                now = time.monotonic()
                longest = max(longest, now - last) if last else 0.0
                last, is_over = now, is_last
    return longest
