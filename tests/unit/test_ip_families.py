"""Families of addresses, told from addresses and ranges."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from machinery.ip_families import IPV4, IPV6, Family, families_of, family_of, host_port


@pytest.mark.parametrize(
    ("said", "family"),
    [("10.0.0.1", IPV4), ("10.0.0.0/8", IPV4), ("fd00::1", IPV6), ("::/0", IPV6), ("::ffff:10.0.0.1", IPV6)],
)
def test_an_address_and_a_range_are_of_a_family(said: str, family: Family) -> None:
    assert family_of(said) is family
    if "/" in said:
        assert family_of(ip_network(said)) is family


def test_families_keep_the_order_of_their_ranges() -> None:
    assert families_of(["fd00::/64", "10.0.0.0/8", "10.1.0.0/16"]) == (IPV6, IPV4)


@pytest.mark.parametrize(
    ("host", "said"), [("10.0.0.1", "10.0.0.1:80"), ("fd00::1", "[fd00::1]:80"), ("example.org", "example.org:80")]
)
def test_an_address_of_ipv6_stands_in_brackets_before_a_port(host: str, said: str) -> None:
    assert host_port(host, 80) == said
