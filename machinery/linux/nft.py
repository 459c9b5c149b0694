"""nftables through libnftables (ctypes), one transaction a call; `nft -f -` where the library is missing.

Blocks: call it in a thread. Each transaction raises an audit event first, `nft.run`.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from functools import cache
from typing import Any

from machinery.ip_families import FAMILIES

_HANDLES, _JSON = 1 << 3, 1 << 4
_MUCH = 100_000
# <linux/netlink.h>
_NETLINK_NETFILTER = 12


class NftError(Exception):
    """nftables refused the transaction; nothing of it was applied."""


def run(commands: str) -> str:
    """Applies the commands (nft's language) in one transaction; what they print. Raises NftError."""
    sys.audit("nft.run", commands)
    library = _library()
    return _by_program(commands) if library is None else _by_library(library, commands)


def query(command: str) -> list[dict[str, Any]]:
    """What a list command tells, as nft's JSON objects, with handles. Raises NftError."""
    library = _library()
    text = _by_program(command, "-j", "-a") if library is None else _by_library(library, command, _JSON | _HANDLES)
    found: list[dict[str, Any]] = json.loads(text)["nftables"] if text else []
    return found


def remove_tables(name: str) -> None:
    """Takes the tables of that name away, of IPv4 and of IPv6; nothing where there are none."""
    for family in FAMILIES:
        with contextlib.suppress(NftError):
            run(f"delete table {family.table(name)}\n")


def is_there() -> bool:
    """Whether this machine has the library, or the program in its place."""
    return _library() is not None or _program() is not None


@cache
def _library() -> Any:
    library = _loaded("libnftables.so.1") or _loaded(ctypes.util.find_library("nftables"))
    if library is None:
        return None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    for function in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
        getattr(library, function).argtypes = [ctypes.c_void_p]
    for function in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, function).argtypes = [ctypes.c_void_p]
        getattr(library, function).restype = ctypes.c_char_p
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


def _loaded(name: str | None) -> Any:
    try:
        return ctypes.CDLL(name) if name else None
    except OSError:
        return None


class _Context:
    """The library's, with a socket: to close one waits for the kernel to free what its commands took away."""

    def __init__(self, library: Any, flags: int = 0) -> None:
        self._library = library
        self._context = library.nft_ctx_new(0)
        if not self._context:
            raise NftError("libnftables gives no context")
        library.nft_ctx_output_set_flags(self._context, flags)
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def run(self, commands: str) -> str:
        status = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        if status:
            error: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
            raise NftError(error.decode(errors="replace").strip() or f"libnftables returned {status}")
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        return output.decode(errors="replace")

    def close(self) -> None:
        self._library.nft_ctx_free(self._context)


class _Kept:
    """The context of small changes, kept as long as process and network namespace are the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._context: _Context | None = None
        self._place: tuple[int, int] | None = None

    def run(self, library: Any, commands: str) -> str:
        with self._lock:
            place = os.getpid(), os.stat("/proc/thread-self/ns/net").st_ino
            if self._context is None or self._place != place:
                old, self._context = self._context, None
                if old is not None:
                    old.close()
                self._context, self._place = _Context(library), place
                _keep_from_children()
            return self._context.run(commands)


_kept = _Kept()


def _by_library(library: Any, commands: str, flags: int = 0) -> str:
    if not flags and len(commands) <= _MUCH:
        return _kept.run(library, commands)
    context = _Context(library, flags)
    try:
        return context.run(commands)
    finally:
        context.close()
        if len(commands) > _MUCH:
            # The parser's many small pieces would stay with the process, fifty bytes for each that was said.
            ctypes.CDLL(None).malloc_trim(0)


def _keep_from_children() -> None:
    """The library's sockets would be open in each program that is started from now on."""
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{entry}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(entry))) as found:
                    is_ours = found.family == socket.AF_NETLINK and found.proto == _NETLINK_NETFILTER
                if is_ours:
                    fcntl.fcntl(int(entry), fcntl.F_SETFD, fcntl.FD_CLOEXEC)


def _by_program(commands: str, *options: str) -> str:
    program = _program()
    if program is None:
        raise NftError("neither libnftables nor nft is there; apt-get install libnftables1")
    done = subprocess.run([program, *options, "-f", "-"], input=commands, capture_output=True, text=True)
    if done.returncode:
        raise NftError(done.stderr.strip())
    return done.stdout


def _program() -> str | None:
    return shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
