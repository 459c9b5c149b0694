"""gzip for large answers (KEP-156): bodies over 128 KiB, to clients that accept it. A list's items are packed once.

The deflate blocks of a list's head and of its items are made apart, each flushed to a byte's boundary, and joined under
one gzip header (RFC 1952): a list whose revision alone moved on costs the packing of its head.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from typing import Any

from machinery.structs import Struct

SMALLEST = 128 * 1024
HEADERS = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
"""Of an answer that is packed."""
# Packing so much takes about a millisecond; more goes to a thread.
_INLINE = 256 * 1024
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LEVEL = 1


class Packed(Struct, frozen=True):
    """Raw deflate blocks that end at a byte's boundary, and the bytes that they hold."""

    plain: bytes
    blocks: bytes


def accepts_gzip(accept_encoding: str) -> bool:
    return any(each.partition(";")[0].strip() == "gzip" for each in accept_encoding.split(","))


async def packed(plain: bytes) -> Packed:
    """The bytes deflated, in a thread where they are many."""
    if len(plain) <= _INLINE:
        return Packed(plain, _blocks(plain))
    return Packed(plain, await asyncio.to_thread(_blocks, plain))


async def gzipped(body: bytes) -> bytes:
    """One body by itself."""
    return joined(b"", await packed(body), b"")


def joined(head: bytes, middle: Packed, tail: bytes) -> bytes:
    """The gzip of head, middle and tail in one."""
    checksum = _crc32(tail, _crc32(middle.plain, _crc32(head)))
    size = len(head) + len(middle.plain) + len(tail)
    last = _deflater()
    end = last.compress(tail) + last.flush(zlib.Z_FINISH)
    front = _blocks(head) if head else b""
    return b"".join((_HEADER, front, middle.blocks, end, struct.pack("<II", checksum, size & 0xFFFFFFFF)))


def _blocks(plain: bytes) -> bytes:
    deflater = _deflater()
    made: bytes = deflater.compress(plain) + deflater.flush(zlib.Z_FULL_FLUSH)
    return made


def _deflater() -> Any:
    return _codec().compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)


def _crc32(data: bytes, start: int = 0) -> int:
    checksum: int = _codec().crc32(data, start)
    return checksum


def _codec() -> Any:
    """isal is five times as fast; it has no wheel for some machines."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib
