"""Questions and answers of the zone as DNS messages (RFC 1035, EDNS of RFC 6891), by dnslib."""

from __future__ import annotations

import ipaddress

from dnslib import AAAA, CLASS, CNAME, EDNS0, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSHeader, DNSRecord

from minikube_py.addons.dns.zone import Found, Record

TTL = 5
PLAIN_UDP = 512
MOST_UDP = 1232
_ANY = QTYPE.ANY


class Asked:
    """One question of a message."""

    def __init__(self, message: DNSRecord) -> None:
        self.message = message
        self.name = str(message.q.qname).rstrip(".").lower()
        self.type: int = message.q.qtype
        options = [record for record in message.ar if record.rtype == QTYPE.OPT]
        self.udp_size = max(min(options[0].edns_len, MOST_UDP), PLAIN_UDP) if options else PLAIN_UDP
        self.has_options = bool(options)


def parsed(data: bytes) -> Asked | None:
    """The question, None where it is none that could be answered at all."""
    message = DNSRecord.parse(data)
    if message.header.qr or not message.questions:
        return None
    return Asked(message)


def reversed_address(name: str) -> str:
    """The address that a name below `in-addr.arpa` or `ip6.arpa` stands for; "" for others."""
    for suffix, separator, size in ((".in-addr.arpa", ".", 4), (".ip6.arpa", ":", 32)):
        if name.endswith(suffix):
            parts = name.removesuffix(suffix).split(".")[::-1]
            if len(parts) != size:
                return ""
            text = separator.join(parts if size == 4 else ["".join(parts[at : at + 4]) for at in range(0, 32, 4)])
            try:
                return str(ipaddress.ip_address(text))
            except ValueError:
                return ""
    return ""


def answered(asked: Asked, found: Found, zone_name: str) -> DNSRecord:
    """The zone's answer to the question."""
    reply = _reply(asked)
    reply.header.aa = 1
    for record in found.records:
        kind = getattr(QTYPE, record.type)
        if asked.type in (kind, _ANY):
            reply.add_answer(RR(asked.message.q.qname, kind, CLASS.IN, TTL, _data(record)))
    if found.alias:
        reply.add_answer(RR(asked.message.q.qname, QTYPE.CNAME, CLASS.IN, TTL, CNAME(found.alias)))
    if not reply.rr:
        if not found.exists:
            reply.header.rcode = RCODE.NXDOMAIN
        reply.add_auth(_authority(zone_name))
    return reply


def refused(asked: Asked, code: int = RCODE.SERVFAIL) -> DNSRecord:
    reply = _reply(asked)
    reply.header.rcode = code
    return reply


def packed(reply: DNSRecord, size: int) -> bytes:
    """The message's bytes; one that is larger than `size` is cut and says so, for the client to come by TCP."""
    data = bytes(reply.pack())
    return data if len(data) <= size else bytes(reply.truncate().pack())


def _reply(asked: Asked) -> DNSRecord:
    header = DNSHeader(id=asked.message.header.id, qr=1, rd=asked.message.header.rd, ra=1)
    reply = DNSRecord(header, q=asked.message.q)
    if asked.has_options:
        reply.add_ar(EDNS0(udp_len=MOST_UDP))
    return reply


def _data(record: Record) -> object:
    match record.type:
        case "A":
            return A(record.data)
        case "AAAA":
            return AAAA(record.data)
        case "SRV":
            return SRV(0, 100, record.port, record.data)
        case "PTR":
            return PTR(record.data)
        case _:
            return TXT(record.data)


def _authority(zone_name: str) -> RR:
    soa = SOA(f"ns.dns.{zone_name}", f"hostmaster.{zone_name}", (1, 7200, 1800, 86400, TTL))
    return RR(zone_name, QTYPE.SOA, CLASS.IN, TTL, soa)
