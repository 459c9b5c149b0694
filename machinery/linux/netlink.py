"""Links, addresses and routes through pyroute2, also inside another network namespace.

All calls block and must not run in the event loop's thread (pyroute2 brings a loop of its own): use a thread.
Each request raises an audit event first: `netlink.link`, `netlink.addr` and so on, with its arguments.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def in_namespace(namespace: Path, work: Callable[[Any], T]) -> T:
    """What `work(IPRoute)` gives, with its socket in the namespace of that file.

    The thread that enters the namespace ends with it, so no other code is ever run there.
    """
    results: list[T] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
                    code = ctypes.get_errno()
                    raise OSError(code, os.strerror(code), str(namespace))
            finally:
                os.close(descriptor)
            results.append(here(work))
        except Exception as error:  # noqa: BLE001 - carried to the thread that called
            failures.append(error)

    thread = threading.Thread(target=run, name="netlink")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def here(work: Callable[[Any], T]) -> T:
    """What `work(IPRoute)` gives in this thread's namespace."""
    from pyroute2 import IPRoute

    with IPRoute() as route:
        return work(_Audited(route))


class _Audited:
    def __init__(self, route: Any) -> None:
        self._route = route

    def __getattr__(self, request: str) -> Any:
        send = getattr(self._route, request)

        def audited(*arguments: Any, **options: Any) -> Any:
            sys.audit(f"netlink.{request}", *arguments)
            return send(*arguments, **options)

        return audited


def index(route: Any, name: str) -> int:
    """The link's index, 0 where there is none. `route` is of this thread's namespace, as `here` gives it."""
    # Not by `route`, which would have the kernel list all links for one.
    del route
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def errors() -> type[Exception]:
    """What the kernel's refusals are raised as."""
    from pyroute2.netlink.exceptions import NetlinkError

    found: type[Exception] = NetlinkError
    return found
