"""The two servers of a run: the real program with the components asked for, and the one that does nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import yaml

from tests.bench.connection import Target

_STARTS_WITHIN = 30.0


@dataclass(frozen=True)
class Program:
    """A running minikube-py; `start_seconds` from its start to the first good /readyz."""

    target: Target
    start_seconds: float

    def pss(self) -> float:
        return pss(self.target.pid)


def pss(pid: int) -> float:
    """Memory of the process in MB, shared pages by their share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError("the kernel tells no Pss")


@asynccontextmanager
async def program(components: str, *options: str, by: Sequence[str] = ("minikube_py",)) -> AsyncIterator[Program]:
    """A cluster of its own data directory, profile and ports; nothing of it is left afterwards. `by` runs it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        port = _free_port()
        arguments = ["start", "--foreground", "--profile", f"bench-{port}", "--data-dir", f"{directory}/data",
                     "--port", str(port), "--components", components, *options]  # fmt: skip
        environment = {**os.environ, "KUBECONFIG": f"{directory}/kubeconfig"}
        began = time.monotonic()
        with Path(directory, "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *by, *arguments, stdout=log, stderr=log, env=environment
            )
        try:
            admin = await _admin(Path(directory, "data", "admin.kubeconfig"), process, Path(directory, "log"))
            await _ready(admin, Path(directory, "log"))
            seconds = time.monotonic() - began
            yield Program(await _with_token(admin), seconds)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            where = arguments[2:6]
            end = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "minikube_py", "uninstall", "--yes", *where,
                stdout=asyncio.subprocess.DEVNULL, env=environment,
            )  # fmt: skip
            await end.wait()


@asynccontextmanager
async def idle_server(certificates: Path) -> AsyncIterator[Target]:
    """The server that does nothing, with TLS of the same kind."""
    cert, key, context = _own_certificate(certificates)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.idle_server", cert, key, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        yield Target("127.0.0.1", port, "nobody", context, process.pid)
    finally:
        process.terminate()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _admin(kubeconfig: Path, process: asyncio.subprocess.Process, log: Path) -> Target:
    async with asyncio.timeout(_STARTS_WITHIN):
        while not kubeconfig.exists():
            if process.returncode is not None:
                raise RuntimeError(f"the program ended: {log.read_text()[-2000:]}")
            await asyncio.sleep(0.01)
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    pair = kubeconfig.with_name("bench.pem")
    pair.write_bytes(
        base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"])
    )
    context.load_cert_chain(pair)
    host, _, port = cluster["server"].removeprefix("https://").rpartition(":")
    return Target(host, int(port), "", context, process.pid)


async def _ready(target: Target, log: Path) -> None:
    try:
        async with asyncio.timeout(_STARTS_WITHIN):
            while True:
                try:
                    connection = await target.connect()
                    try:
                        await connection.ask(_as_admin(target, "GET", "/readyz"))
                    finally:
                        connection.close()
                    return
                except (OSError, RuntimeError):
                    await asyncio.sleep(0.01)
    except TimeoutError:
        raise RuntimeError(f"the program is not ready: {log.read_text()[-2000:]}") from None


async def _with_token(admin: Target) -> Target:
    """A ServiceAccount that may do everything by RBAC: requests are authorized as those of any user."""
    connection = await admin.connect()

    async def post(path: str, body: object) -> bytes:
        return await connection.ask(_as_admin(admin, "POST", path, orjson.dumps(body)))

    await post("/api/v1/namespaces", {"metadata": {"name": "bench"}})
    await post("/api/v1/namespaces/bench/serviceaccounts", {"metadata": {"name": "bench"}})
    with contextlib.suppress(RuntimeError):
        # Where controllers run, theirs may be there first.
        await post("/api/v1/namespaces/bench/serviceaccounts", {"metadata": {"name": "default"}})
    await post(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": "bench"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "bench", "namespace": "bench"}],
        },
    )
    token = orjson.loads(await post("/api/v1/namespaces/bench/serviceaccounts/bench/token", {"spec": {}}))
    connection.close()
    context = ssl.create_default_context(cadata=_ca_of(admin.context))
    return Target(admin.host, admin.port, token["status"]["token"], context, admin.pid)


def _ca_of(context: ssl.SSLContext) -> str:
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in context.get_ca_certs(binary_form=True))


def _as_admin(target: Target, method: str, path: str, body: bytes = b"") -> bytes:
    """By the client's certificate alone: an Authorization header would go first."""
    request = target.request(method, path, body, Content_Type="application/json")
    return request.replace(b"Authorization: Bearer \r\n", b"", 1)


def _own_certificate(directory: Path) -> tuple[str, str, ssl.SSLContext]:
    from machinery.pki import Pki

    pki = Pki.load_or_create(directory, names=["localhost"], ips=["127.0.0.1"])
    context = ssl.create_default_context(cadata=pki.ca_pem.decode())
    pki.serve([], [])
    return str(pki.server.certificate), str(pki.server.key), context
