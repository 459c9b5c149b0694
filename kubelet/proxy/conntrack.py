"""UDP has no end, so the kernel goes on sending a client's datagrams to an endpoint that is gone: such entries go.

A TCP connection ends by itself and is left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from socket import AF_INET, AF_INET6
from typing import Any

from kubelet.proxy.services import ServicePort
from machinery.ip_families import IPV4, IPV6, family_of
from machinery.structs import Struct

_UDP = 17


class Flow(Struct, frozen=True):
    """What was asked for, and the endpoint that answered; an empty endpoint stands for the address unchanged."""

    address: str
    port: int
    endpoint: str


def stale(before: Sequence[ServicePort], after: Sequence[ServicePort]) -> set[Flow]:
    """The flows that the change from one state to the next has left behind."""
    flows = _flows(before) - _flows(after)
    # Whoever asked while there was no endpoint has an entry that leads nowhere.
    answered = {(port.key, port.protocol, port.family) for port in before if port.internal}
    for port in after:
        if port.protocol == "udp" and port.internal and (port.key, port.protocol, port.family) not in answered:
            flows.add(Flow(port.cluster_ip, port.port, ""))
    return flows


def _flows(ports: Iterable[ServicePort]) -> set[Flow]:
    return {
        Flow(address, port.port, endpoint.ip)
        for port in ports
        if port.protocol == "udp"
        for address in (port.cluster_ip, *port.addresses)
        for endpoint in {*port.internal, *port.external}
    }


def forget(flows: set[Flow]) -> None:
    """Deletes the entries of these flows. Blocks: use a thread."""
    for family, number in ((IPV4, AF_INET), (IPV6, AF_INET6)):
        own = {flow for flow in flows if family_of(flow.address) is family}
        if own:
            _forget(own, number)


def _forget(flows: set[Flow], family: int) -> None:
    from pyroute2 import NFCTSocket
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

    with NFCTSocket(family) as socket:
        for entry in list(socket.dump(tuple_orig=NFCTAttrTuple(family, proto=_UDP))):
            asked, answer = (
                NFCTAttrTuple.from_netlink(family, entry.get_attr(f"CTA_TUPLE_{side}")) for side in ("ORIG", "REPLY")
            )
            if asked.proto == _UDP and _flow(asked, answer) in flows:
                # Others may have ended it in the meantime.
                with contextlib.suppress(NetlinkError):
                    socket.entry("del", tuple_orig=asked)


def _flow(asked: Any, answer: Any) -> Flow:
    return Flow(asked.daddr, asked.dport, "" if answer.saddr == asked.daddr else answer.saddr)
