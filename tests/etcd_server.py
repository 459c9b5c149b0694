"""A real etcd for one test run: free loopback ports, its own data directory, ended with the block."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ETCD = "/usr/bin/etcd"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


@contextmanager
def etcd_server(
    directory: Path, *, client_port: int = 0, tls: tuple[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """The client URL and the process id, once it serves; `tls` is certificate and key, which clients need too."""
    process, url = _start(directory, client_port, tls)
    try:
        yield url, process.pid
    finally:
        process.kill()
        process.wait()


def _start(directory: Path, client_port: int, tls: tuple[str, str] | None) -> tuple[subprocess.Popen[bytes], str]:
    log = directory / "etcd.log"
    flags = [f"--cert-file={tls[0]}", f"--key-file={tls[1]}", f"--trusted-ca-file={tls[0]}"] if tls else []
    # Another process may take a free port before etcd has it, so try again.
    for _ in range(5):
        port, peer_port = free_ports(2)
        url = f"{'https' if tls else 'http'}://127.0.0.1:{client_port or port}"
        peer = f"http://127.0.0.1:{peer_port}"
        command = [
            ETCD, "--name=test", f"--data-dir={directory / 'etcd'}", "--logger=zap", "--log-outputs=stderr",
            f"--listen-client-urls={url}", f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=test={peer}",
            "--heartbeat-interval=20", "--election-timeout=100", *flags, *(["--client-cert-auth"] if tls else []),
        ]  # fmt: skip
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        if _serves(process, log):
            return process, url
        process.kill()
        process.wait()
    raise AssertionError(f"etcd did not start: {log.read_bytes()[-2000:]!r}")


def _serves(process: subprocess.Popen[bytes], log: Path) -> bool:
    for _ in range(600):
        if b"serving client traffic" in log.read_bytes():
            return True
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        return False
    return False
