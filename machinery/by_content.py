"""What a pure function made of a JSON value, kept for the same value when it comes again.

Clients write the same pod templates and apply the same configurations over and over, with other names and numbers
around them. To make a value's JSON takes a few microseconds, what is known by it took a hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, TypeVarTuple

import orjson

T = TypeVar("T")
Others = TypeVarTuple("Others")

_MOST = 256
_LARGEST = 16 * 1024
"""Bytes of JSON; what is larger is rare, and keeping it would cost more than it saves."""


def by_content(of: Callable[[Any, *Others], T], alike: Callable[[bytes], bytes] = bytes) -> Callable[[Any, *Others], T]:
    """The function of a JSON value, and of others that can be hashed, with its results kept: never change one.

    Values whose JSON `alike` makes one of are the same to the function, which is asked for that one.
    """

    @lru_cache(maxsize=_MOST)
    def known(body: bytes, *others: *Others) -> T:
        return of(orjson.loads(body), *others)

    @wraps(of)
    def asked(value: Any, *others: *Others) -> T:
        body = orjson.dumps(value)
        return known(alike(body), *others) if len(body) <= _LARGEST else of(value, *others)

    return asked
