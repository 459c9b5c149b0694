"""nftables' transactions: each whole, in the network of the thread that makes it, its socket in no other program."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from machinery.linux import nft
from machinery.linux.namespaces import FLAGS

Found = TypeVar("Found")
_LIBC = ctypes.CDLL(None, use_errno=True)
_NETFILTER_SOCKETS = """
import os, socket
for entry in os.listdir("/proc/self/fd"):
    try:
        with socket.socket(fileno=os.dup(int(entry))) as found:
            print("netfilter" if (found.family, found.proto) == (socket.AF_NETLINK, 12) else "other")
    except OSError:
        pass
"""


def _in_a_network(work: Callable[[], Found]) -> Found:
    """What `work` finds in a network that ends with it."""

    def enter() -> None:
        assert _LIBC.unshare(FLAGS["net"]) == 0

    with ThreadPoolExecutor(1, initializer=enter) as pool:
        return pool.submit(work).result()


def _names(command: str, kind: str) -> list[str]:
    return [each[kind]["name"] for each in nft.query(command) if kind in each]


def test_what_is_refused_leaves_nothing_and_the_next_transaction_holds() -> None:
    def look() -> list[str]:
        nft.run("add table ip mine\n")
        with pytest.raises(nft.NftError, match="missing"):
            nft.run("add chain ip mine refused\nadd rule ip mine missing accept\n")
        nft.run("add chain ip mine ours\n")
        # Another program changes what the library has just seen.
        subprocess.run(["nft", "add", "chain", "ip", "mine", "theirs"], check=True)
        nft.run("add rule ip mine theirs goto ours\n")
        return _names("list table ip mine", "chain")

    assert _in_a_network(look) == ["ours", "theirs"]


def test_a_transaction_is_made_in_the_network_of_its_thread() -> None:
    def made(name: str) -> list[str]:
        nft.run(f"add table ip {name}\n")
        return _names("list tables", "table")

    assert _in_a_network(lambda: made("one")) == ["one"]
    assert _in_a_network(lambda: made("other")) == ["other"]
    assert not {"one", "other"} & set(_names("list tables", "table"))


def test_transactions_of_many_threads_are_all_made() -> None:
    def look() -> int:
        nft.run("add table ip mine\nadd set ip mine numbers { type inet_service; }\n")
        network = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with ThreadPoolExecutor(8, initializer=_LIBC.setns, initargs=(network, FLAGS["net"])) as pool:
                list(pool.map(lambda at: nft.run(f"add element ip mine numbers {{ {at} }}\n"), range(1, 101)))
        finally:
            os.close(network)
        return len(next(each["set"]["elem"] for each in nft.query("list set ip mine numbers") if "set" in each))

    assert _in_a_network(look) == 100


def test_a_program_that_is_started_has_no_socket_of_it() -> None:
    def sockets() -> list[str]:
        nft.run("add table ip mine\n")
        command = [sys.executable, "-c", _NETFILTER_SOCKETS]
        return subprocess.run(command, close_fds=False, stdout=subprocess.PIPE, text=True, check=True).stdout.split()

    assert "netfilter" not in _in_a_network(sockets)
