"""Keeps the cluster where its machine is: networks of a laptop come and go, it sleeps, and its clock is set.

Who depends on an address says so by `follow`; whatever happens, the cluster itself is reached by 127.0.0.1, and by
its pods at the bridge.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from ipaddress import ip_address

from machinery.client.clock import SystemClock
from machinery.contain import contain
from machinery.ip_families import IPV4, Family, networks
from machinery.linux.addresses import Way, Whereabouts, changes, chosen, read
from machinery.linux.clock_jumps import jumps
from machinery.structs import Struct
from minikube_py.config import Config

LOG = logging.getLogger("network")
_SETTLED = 0.5
# What NTP corrects in one step is no sleep.
_NO_JUMP = 2.0
LOOPBACK = IPV4.loopback

Follower = Callable[[], Awaitable[None]]


class Machine:
    """`found` is what was found when it was looked at last; `own` the bridge of the cluster's pods.

    `families` are those of the cluster, the one first by which the node is known rather.
    """

    def __init__(self, own: str, clock: SystemClock, families: Sequence[Family] = (IPV4,)) -> None:
        self.found = Whereabouts()
        self._own, self._clock, self._families = own, clock, families
        self._followers: list[Follower] = []
        self._awoken: list[Follower] = []

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses by which the node is known, one a family."""
        return tuple(node_address(self.found, self._own, family) for family in self._families)

    @property
    def address(self) -> str:
        """The first of them."""
        return self.addresses[0]

    def follow(self, follower: Follower) -> None:
        """Calls it after each change of addresses and of the ways out; who asked first is called first."""
        self._followers.append(follower)

    def follow_time(self, follower: Follower) -> None:
        """Calls it after a sleep, and when the clock was set."""
        self._awoken.append(follower)

    async def look(self) -> None:
        """Reads how it is, and tells the followers where it is otherwise than before."""
        before, was = self.found, self.addresses
        self.found = await asyncio.to_thread(read)
        if self.addresses == was and is_same_place(before, self.found):
            return
        if before.addresses and self.addresses != was:
            LOG.info("the node is known by %s now, no longer by %s", ", ".join(self.addresses), ", ".join(was))
        await _tell(self._followers)

    async def watch_addresses(self) -> None:
        """Looks at each change until cancelled."""
        async with changes(_SETTLED) as told:
            while True:
                with contain("network"):
                    await self.look()
                    told.concern(self.found)
                await told.wait()

    async def watch_time(self) -> None:
        """Tells of each jump until cancelled, and has waits count the time that has passed."""
        try:
            async with jumps() as told:
                while True:
                    await told.wait()
                    told.clear()
                    # First the node says that it lives: who waits for that is woken afterwards.
                    await _tell(self._awoken)
                    jumped = self._clock.catch_up()
                    if abs(jumped) > _NO_JUMP:
                        LOG.info("the clock has jumped by %.0f s: the machine slept, or it was set", jumped)
        except OSError as error:
            LOG.warning("the kernel does not tell when this machine has slept: %s", error)


async def _tell(followers: Iterable[Follower]) -> None:
    for follower in followers:
        with contain("network"):
            await follower()


def is_same_place(before: Whereabouts, after: Whereabouts) -> bool:
    """Whether others reach the machine as before, and it them: routes and links of containers come and go."""
    return _place(before) == _place(after)


def _place(found: Whereabouts) -> tuple[set[str], set[Way]]:
    """The addresses that are up, and the default routes."""
    return (
        {each.ip for each in found.addresses if each.is_up},
        {way for way in found.ways if not way.network.prefixlen},
    )


def node_address(found: Whereabouts, own: str, family: Family = IPV4) -> str:
    """As others know the node; that of the loopback where there is nothing else."""
    address = chosen(found, own, family)
    return address.ip if address is not None else family.loopback


def described(found: Whereabouts, own: str, families: Sequence[Family] = (IPV4,)) -> str:
    """How the machine is connected, in a line."""
    if len(families) > 1:
        return "; ".join(f"{family.name}: {described(found, own, (family,))}" for family in families)
    (family,) = families
    address = chosen(found, own, family)
    if address is None or address.interface == own:
        here = address.ip if address is not None else family.loopback
        return f"none: the node is known by {here}, which this machine alone reaches"
    has_default = any(str(way.network) == family.everywhere for way in found.ways)
    return f"{address.ip} ({address.interface}){'' if has_default else ', without a default route'}"


def strange(binds: Iterable[str], found: Whereabouts) -> Iterator[str]:
    """Those of the addresses to listen on that the machine does not have; names are not looked up."""
    there = {ip_address(each.ip) for each in found.addresses}
    for bind in binds:
        with contextlib.suppress(ValueError):
            address = ip_address(bind)
            if not (address.is_loopback or address.is_unspecified or address in there):
                yield bind


class Clash(Struct, frozen=True):
    """Another's route that leads to addresses of the cluster."""

    cidr: str
    way: Way

    def __str__(self) -> str:
        return (
            f"the cluster's {self.cidr} meets the machine's route to {self.way.network} by {self.way.interface}: "
            "what both have is the cluster's here, and machines there with such addresses are not reached"
        )


def clashes(ways: Iterable[Way], config: Config, *, is_started: bool) -> Iterator[Clash]:
    """Where ranges of the cluster meet routes of others; the default route meets all, and is none of these.

    A cluster that has not been started has no route to its Services yet: one of that range is another's.
    """
    others = list(foreign(ways, config, is_started=is_started))
    for network in networks((*config.pod_cidr, *config.service_cidr)):
        met = next((way for way in others if way.network.overlaps(network)), None)
        if met is not None:
            yield Clash(str(network), met)


def foreign(ways: Iterable[Way], config: Config, *, is_started: bool) -> Iterator[Way]:
    """The routes that are not the cluster's own, but for the default one, and its halves that a VPN makes."""
    services = networks(config.service_cidr) if is_started else ()
    for way in ways:
        is_own = way.interface == config.bridge or (way.interface == "lo" and way.network in services)
        if way.network.prefixlen > 1 and not is_own:
            yield way
