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
def etcd_server(directory: Path, *, client_port: int = 0, flags: tuple[str, ...] = ()) -> Iterator[tuple[str, int]]:
    """The client URL and the process id, once it serves; the port may be taken before etcd has it, so try again."""
    process, url = _start(directory, client_port, flags)
    try:
        yield url, process.pid
    finally:
        process.kill()
        process.wait()


def _start(directory: Path, client_port: int, flags: tuple[str, ...]) -> tuple[subprocess.Popen[bytes], str]:
    said = b""
    for _ in range(5):
        port, peer_port = free_ports(2)
        url, peer = f"http://127.0.0.1:{client_port or port}", f"http://127.0.0.1:{peer_port}"
        scheme_flags = () if any(flag.startswith("--listen-client-urls") for flag in flags) else (
            f"--listen-client-urls={url}", f"--advertise-client-urls={url}",
        )  # fmt: skip
        log = directory / "etcd.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [
                    ETCD, "--name=test", f"--data-dir={directory / 'etcd'}", "--logger=zap", "--log-outputs=stderr",
                    *scheme_flags, f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
                    f"--initial-cluster=test={peer}", "--heartbeat-interval=20", "--election-timeout=100", *flags,
                ],
                stdout=out, stderr=out,
            )  # fmt: skip
        if _serves(process, log):
            return process, url
        said = log.read_bytes()
        process.kill()
        process.wait()
    raise AssertionError(f"etcd did not start: {said[-2000:]!r}")


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
