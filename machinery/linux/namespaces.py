"""New namespaces pinned as files, so that no process holds them, and work inside them.

A thread of its own unshares, sets them up, mounts its /proc/thread-self/ns files and ends: no child process is needed
(a user namespace would need one: the kernel refuses it to a process with threads).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from machinery.linux.mount import Mount, mount, unmount

FLAGS = {"net": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000}
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_libc = ctypes.CDLL(None, use_errno=True)


def pin(files: Mapping[str, Path], *, hostname: str = "", sysctls: Mapping[str, str] | None = None) -> None:
    """Makes a namespace of each kind (net, ipc, uts) and mounts it on its file, which is made; raises OSError.

    The loopback of a new network is up, a new uts namespace has the host name, and the sysctls are written inside.
    """
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def work() -> None:
        _check(_libc.unshare(sum(FLAGS[kind] for kind in files)), "unshare")
        if "net" in files:
            _raise_loopback()
        if "uts" in files and hostname:
            name = hostname.encode()
            _check(_libc.sethostname(name, len(name)), "sethostname")
        for name_of, value in (sysctls or {}).items():
            Path("/proc/sys", name_of.replace(".", "/")).write_text(value)
        for kind, path in files.items():
            mount(Mount("", f"/proc/thread-self/ns/{kind}", str(path), ("bind",)))

    in_own_thread(work)


def unpin(folder: Path) -> None:
    """Lets the namespaces go that are pinned in the folder; nothing where there are none."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        unmount(path, lazily=True)
        path.unlink()
    folder.rmdir()


def socket_in(network: Path | None, family: socket.AddressFamily) -> socket.socket:
    """A non-blocking TCP socket of the network pinned on the file, of the caller's own for None; raises OSError.

    A socket stays in the namespace in which it was made, whoever uses it.
    """
    made: list[socket.socket] = []

    def work() -> None:
        if network is not None:
            descriptor = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _check(_libc.setns(descriptor, FLAGS["net"]), "setns")
            finally:
                os.close(descriptor)
        made.append(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))

    in_own_thread(work)
    return made[0]


def in_own_thread(work: Callable[[], None]) -> None:
    """Runs `work` in a thread that ends with it, so that nothing else ever runs in the namespaces it enters."""
    failures: list[OSError] = []

    def run() -> None:
        try:
            work()
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="namespaces")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("16xh", fcntl.ioctl(probe, _SIOCGIFFLAGS, request))
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _check(result: int, call: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")
