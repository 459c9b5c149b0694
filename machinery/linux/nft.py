"""nftables through libnftables (ctypes), one transaction a call; `nft -f -` where the library is missing.

Blocks: call it in a thread. Each transaction raises an audit event first, `nft.run`.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from typing import Any

from machinery.ip_families import FAMILIES

_HANDLES, _JSON = 1 << 3, 1 << 4
_MUCH = 100_000


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


def _by_library(library: Any, commands: str, flags: int = 0) -> str:
    context = library.nft_ctx_new(0)
    if not context:
        raise NftError("libnftables gives no context")
    try:
        library.nft_ctx_output_set_flags(context, flags)
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        status = library.nft_run_cmd_from_buffer(context, commands.encode())
        if status:
            error: bytes = library.nft_ctx_get_error_buffer(context) or b""
            raise NftError(error.decode(errors="replace").strip() or f"libnftables returned {status}")
        output: bytes = library.nft_ctx_get_output_buffer(context) or b""
        return output.decode(errors="replace")
    finally:
        library.nft_ctx_free(context)
        if len(commands) > _MUCH:
            # The parser's many small pieces would stay with the process, fifty bytes for each that was said.
            ctypes.CDLL(None).malloc_trim(0)


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
