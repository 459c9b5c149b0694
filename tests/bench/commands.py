#!/usr/bin/env python3
"""How long a command in a pod takes from its request to its exit code, and how much it says and hears in a second.

  python -m tests.bench.commands DATA_DIR NAMESPACE/POD [--rounds 20] [--megabytes 64]

DATA_DIR is a cluster's (`/var/lib/minikube-py`); the pod needs one container with `true`, `head`, `wc`. The client
connects anew for each command, as kubectl does. Nothing is judged here.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.contract.stream_client import spdy_command, websocket_command

Connect = Callable[..., AbstractAsyncContextManager[Any]]
MEGABYTE = 1 << 20


class Pod:
    """Where commands are run, and the credentials for it."""

    def __init__(self, data_dir: Path, pod: str) -> None:
        document = yaml.safe_load((data_dir / "admin.kubeconfig").read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.context = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            self.context.load_cert_chain(pair.name)
        namespace, _, name = pod.partition("/")
        self._base = f"{cluster['server']}/api/v1/namespaces/{namespace}/pods/{name}/exec"

    def url(self, *command: str, **streams: bool) -> str:
        query = [("command", word) for word in command] + [(name, "true") for name in streams]
        return f"{self._base}?{urlencode(query)}"


async def round_trips(connect: Connect, pod: Pod, rounds: int) -> list[float]:
    """Milliseconds of each."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        async with connect(pod.url("true", stdout=True, stderr=True), context=pod.context) as command:
            answer = await command.answer()
        assert json.loads(answer.status)["status"] == "Success"
        found.append((time.perf_counter() - start) * 1e3)
    return sorted(found)


async def said(connect: Connect, pod: Pod, size: int) -> float:
    """Megabytes a second out of the pod."""
    start = time.perf_counter()
    async with connect(
        pod.url("head", "-c", str(size), "/dev/zero", stdout=True, stderr=True), context=pod.context
    ) as command:
        assert len((await command.answer()).stdout) == size
    return size / MEGABYTE / (time.perf_counter() - start)


async def heard(pod: Pod, size: int) -> float:
    """Megabytes a second into the pod."""
    start, block = time.perf_counter(), bytes(64 << 10)
    async with websocket_command(pod.url("wc", "-c", stdin=True, stdout=True), context=pod.context) as command:
        for _ in range(size // len(block)):
            await command.send(block)
        await command.end_input()
        assert int((await command.answer()).stdout) == size
    return size / MEGABYTE / (time.perf_counter() - start)


async def measure(pod: Pod, rounds: int, size: int) -> None:
    for name, connect in (("WebSocket v5", websocket_command), ("SPDY v4", spdy_command)):
        found = await round_trips(connect, pod, rounds)
        print(f"{name}: median {statistics.median(found):.0f} ms, best {found[0]:.0f} ms of {rounds}")
        print(f"{name}: {await said(connect, pod, size):.0f} MB/s out of the pod")
    print(f"WebSocket v5: {await heard(pod, size):.0f} MB/s into the pod")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("pod")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--megabytes", type=int, default=64)
    arguments = parser.parse_args()
    there = Pod(arguments.data_dir, arguments.pod)
    asyncio.run(measure(there, arguments.rounds, arguments.megabytes * MEGABYTE))
