"""What this machine has and lacks for a cluster: one `Finding` a check, with the command that mends it.

`doctor` prints them all, `start` refuses on the fatal ones. Checks only look; nothing is changed.
"""

from __future__ import annotations

import ipaddress
import os
import random
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from machinery.ip_families import IPV4, IPV6, Family, Network, families_of, family_of, networks
from machinery.linux import listeners
from machinery.linux.addresses import ipv6_ways, ways
from machinery.structs import replace
from minikube_py.config import Config
from minikube_py.instance import InstanceError, running_pid
from minikube_py.whereabouts import clashes, described, foreign, strange

_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
OK, WARNING, FATAL = "ok", "warning", "fatal"
_FORWARDING_IPV6 = "net.ipv6.conf.all.forwarding=1"


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`; `mend` is a command or a sentence, empty where nothing is wrong."""

    check: str
    level: str
    found: str
    mend: str = ""


def refuse_hopeless(config: Config) -> None:
    """Raises InstanceError with the first thing that makes a start impossible, and what mends it."""
    for finding in (finding for check in CHECKS for finding in check(config)):
        if finding.level == FATAL:
            raise InstanceError(f"{finding.found}; {finding.mend}" if finding.mend else finding.found)


def findings(config: Config) -> Iterator[Finding]:
    for check in (*CHECKS, *TOLD):
        yield from check(config)


def _root(config: Config) -> Iterator[Finding]:
    if "kubelet" in config.components and os.geteuid() != 0:
        yield Finding("root", FATAL, "only root can run containers", f"sudo {sys.argv[0]} …")
    else:
        yield Finding("root", OK, "runs as root" if os.geteuid() == 0 else "not needed without the kubelet")


def _python(config: Config) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    level, mend = (OK, "") if sys.version_info >= (3, 11) else (FATAL, "use Python 3.11 or newer")
    yield Finding("python", level, f"Python {version}", mend)


def _programs(config: Config) -> Iterator[Finding]:
    from machinery.linux import nft

    if not config.has_runtime:
        return
    for program in ("runc", "conmon"):
        path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if path:
            yield Finding(program, OK, path)
        else:
            yield Finding(program, FATAL, f"{program} is missing", f"apt-get install {program}")
    if nft.is_there():
        yield Finding("nftables", OK, "libnftables is there")
    else:
        yield Finding("nftables", FATAL, "libnftables is missing", "apt-get install libnftables1")


def _cgroups(config: Config) -> Iterator[Finding]:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        found = (root / "cgroup.controllers").read_text().split()
        lacking = {"cpu", "memory", "pids"} - set(found)
        if lacking:
            lack = ", ".join(sorted(lacking))
            yield Finding("cgroups", WARNING, f"v2 without {lack}", "boot with cgroup_enable=memory, or delegate them")
        else:
            yield Finding("cgroups", OK, f"v2 with {', '.join(found)}")
    elif (root / "memory").is_dir() or (root / "unified").is_dir():
        yield Finding("cgroups", OK, "v1 or hybrid (runc runs there, crun does not)")
    else:
        yield Finding("cgroups", FATAL, "no cgroups are mounted", "mount -t cgroup2 none /sys/fs/cgroup")


def _overlay(config: Config) -> Iterator[Finding]:
    if "overlay" not in Path("/proc/filesystems").read_text():
        yield Finding("overlay", WARNING, "the kernel knows no overlayfs: images are copied", "modprobe overlay")
        return
    existing = config.data_dir
    while not existing.exists():
        existing = existing.parent
    kind = _filesystem(existing)
    if kind in ("overlay", "nfs", "nfs4", "fuse", "9p", "vfat"):
        yield Finding(
            "overlay", WARNING, f"{config.data_dir} is on {kind}: images are copied", "use another --data-dir"
        )
    else:
        yield Finding("overlay", OK, f"{config.data_dir} is on {kind}")


def _filesystem(path: Path) -> str:
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[2] == wanted:
            return right.split()[0]
    return "an unknown filesystem"


def _forwarding(config: Config) -> Iterator[Finding]:
    path = Path("/proc/sys/net/ipv4/ip_forward")
    if path.exists() and path.read_text().strip() == "1":
        yield Finding("ip_forward", OK, "on")
    else:
        yield Finding("ip_forward", WARNING, "off: start switches it on", "sysctl -w net.ipv4.ip_forward=1")


def _ipv6(config: Config) -> Iterator[Finding]:
    if IPV6 not in families_of(config.pod_cidr):
        return
    path = Path("/proc/sys/net/ipv6/conf/all/forwarding")
    if not path.exists():
        yield Finding("ipv6", FATAL, "the kernel has no IPv6", "boot without ipv6.disable=1, or give IPv4 ranges alone")
    elif path.read_text().strip() == "1":
        yield Finding("ipv6", OK, "forwarding is on")
    else:
        yield Finding("ipv6", WARNING, "forwarding is off: start switches it on", f"sysctl -w {_FORWARDING_IPV6}")


def _firewall(config: Config) -> Iterator[Finding]:
    nft = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not nft or os.geteuid() != 0:
        yield Finding("firewall", OK, "not looked at (no nft command)")
        return
    import subprocess

    rules = subprocess.run([nft, "list", "chains"], capture_output=True, text=True).stdout
    if re.search(r"hook forward[^;]*; policy drop", rules):
        yield Finding("firewall", WARNING, "a FORWARD policy drops packets of pods", "iptables -P FORWARD ACCEPT")
    else:
        yield Finding("firewall", OK, "no FORWARD policy that drops")


def _ports(config: Config) -> Iterator[Finding]:
    if running_pid(config):
        yield Finding("ports", OK, "held by this cluster")
        return
    wanted = [(config.port, "--port")]
    if "kubelet" in config.components:
        wanted.append((config.kubelet_port, "--kubelet-port"))
    for port, flag in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                yield Finding("ports", OK, f"{port} is free")
            except OSError:
                holder = _listener(port)
                yield Finding("ports", FATAL, f"port {port} is taken by {holder}", f"end it, or choose {flag}")


def _listener(port: int) -> str:
    """The program that listens on a TCP port."""
    sockets = (each.inode for each in listeners.listeners() if each.protocol == "tcp" and each.port == port)
    return next(filter(None, map(listeners.holder, sockets)), "another program")


def _network(config: Config) -> Iterator[Finding]:
    from machinery.linux import addresses

    found = addresses.read()
    yield Finding("network", OK, described(found, config.bridge, families_of(config.pod_cidr)))
    for address in strange(config.bind, found):
        said = f"--bind {address} is no address of this machine now: nobody reaches the API by it until it is"
        yield Finding("network", WARNING, said)


def _ranges(config: Config) -> Iterator[Finding]:
    found = [*ways(), *ipv6_ways()]
    is_started = config.options_file.exists()
    met = {clash.cidr: clash for clash in clashes(found, config, is_started=is_started)}
    wanted = [("--pod-cidr", text) for text in config.pod_cidr]
    wanted += [("--service-cidr", text) for text in config.service_cidr]
    for flag, text in wanted:
        if text not in met:
            yield Finding("ranges", OK, f"{text} is free")
        elif is_started:
            # A cluster that has its ranges already can't change them.
            yield Finding("ranges", WARNING, str(met[text]))
        else:
            taken = [way.network for way in foreign(found, config, is_started=False)]
            free = free_range(taken, family_of(text))
            clash = f"{text} meets the host's route to {met[text].way.network}"
            yield Finding("ranges", FATAL, clash, f"choose {flag} {free}")


def with_free_ranges(config: Config) -> Config:
    """The configuration with ranges that meet no route of the host, where those derived from a profile's name do."""
    found = (*ways(), *ipv6_ways())
    taken = [way.network for way in foreign(found, config, is_started=config.options_file.exists())]
    pods = tuple(_free_or(each, taken) for each in networks(config.pod_cidr))
    taken += networks(pods)
    services = tuple(_free_or(each, taken) for each in networks(config.service_cidr))
    return replace(config, pod_cidr=pods, service_cidr=services)


def _free_or(network: Network, taken: list[Network]) -> str:
    is_taken = any(route.overlaps(network) for route in taken)
    return free_range(taken, family_of(network)) if is_taken else str(network)


def free_range(taken: list[Network], family: Family = IPV4) -> str:
    """A private range of the family that meets none of `taken`.

    It is a /16 of 10/8 where there is one, as a VPN may have all of that; of IPv6 a /112 of a site's own (RFC 4193).
    """
    for block in _PRIVATE if family is IPV4 else (_own_site(),):
        candidates: Iterator[Network] = ipaddress.ip_network(block).subnets(new_prefix=16 if family is IPV4 else 112)
        free = [net for net in candidates if not any(route.overlaps(net) for route in taken)]
        if free:
            # Any one, so that two clusters that begin at the same time hardly choose the same.
            return str(random.choice(free))
    return "a range that is free"


def _own_site() -> str:
    """Of such a number, drawn by lot, there is hardly another in the world; the range leaves few subnets to look at."""
    return str(ipaddress.IPv6Network((0xFD << 120 | random.getrandbits(48) << 72, 104)))


def _limits(config: Config) -> Iterator[Finding]:
    for name, least in (("max_user_instances", 128), ("max_user_watches", 8192)):
        path = Path("/proc/sys/fs/inotify") / name
        value = int(path.read_text())
        level, mend = (OK, "") if value >= least else (WARNING, f"sysctl -w fs.inotify.{name}={least * 8}")
        yield Finding("inotify", level, f"{name} is {value}", mend)


def _disk(config: Config) -> Iterator[Finding]:
    existing = config.data_dir
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    level, mend = (OK, "") if free > 2 << 30 else (WARNING, "make room, or choose another --data-dir")
    yield Finding("disk", level, f"{free / (1 << 30):.1f} GiB are free at {existing}", mend)


def _clock(config: Config) -> Iterator[Finding]:
    year = time.gmtime().tm_year
    level, mend = (OK, "") if 2025 <= year < 2100 else (WARNING, "set it: certificates depend on it")
    yield Finding("clock", level, f"it says {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}", mend)


def _containers(config: Config) -> Iterator[Finding]:
    inside = Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
    yield Finding("container", OK, "runs in a container itself" if inside else "runs on a host")


CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    _root, _python, _programs, _cgroups, _overlay, _forwarding, _ipv6, _firewall, _ports, _ranges, _limits, _disk,
    _clock, _containers,
)  # fmt: skip
TOLD: tuple[Callable[[Config], Iterator[Finding]], ...] = (_network,)
"""What keeps nothing from starting, so a start need not wait for it."""
