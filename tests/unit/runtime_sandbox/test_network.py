"""Addresses and the rules of the runtime's table."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machinery.ip_families import FAMILIES
from runtime.errors import ResourceExhausted
from runtime.network.ipam import Leases, allocate
from runtime.network.rules import Chain, Forward, accepting, deletions, dropping_chains, ruleset

POOL, POOL_IPV6 = IPv4Network("10.0.0.0/29"), IPv6Network("fd00::/64")


@pytest.mark.parametrize(
    ("taken", "after", "address"),
    [
        ((), "", "10.0.0.2"),
        (("10.0.0.2",), "", "10.0.0.3"),
        ((), "10.0.0.4", "10.0.0.5"),
        ((), "10.0.0.6", "10.0.0.2"),
        (("10.0.0.5", "10.0.0.6"), "10.0.0.4", "10.0.0.2"),
    ],
)
def test_an_address_is_the_next_free_one(taken: tuple[str, ...], after: str, address: str) -> None:
    assert allocate(POOL, taken, after) == address


def test_an_exhausted_range_is_told() -> None:
    with pytest.raises(ResourceExhausted):
        allocate(POOL, [f"10.0.0.{last}" for last in range(2, 7)])


def test_leases_are_there_after_a_restart(tmp_path: Path) -> None:
    leases = Leases(tmp_path / "leases", [POOL])
    assert leases.take("a") == leases.take("a") == ("10.0.0.2",)
    leases.take("b")
    again = Leases(tmp_path / "leases", [POOL])
    again.keep_only({"b"})
    assert again.take("b") == ("10.0.0.3",)
    assert again.take("c") == ("10.0.0.2",)


def test_a_sandbox_has_an_address_of_each_range(tmp_path: Path) -> None:
    leases = Leases(tmp_path / "leases", [POOL_IPV6, POOL])
    assert leases.take("a") == ("fd00::2", "10.0.0.2")
    again = Leases(tmp_path / "leases", [POOL_IPV6, POOL])
    assert again.take("a") == ("fd00::2", "10.0.0.2")
    assert again.take("b") == ("fd00::3", "10.0.0.3")


@given(st.integers(1, 4), st.sets(st.integers(0, 15), max_size=10), st.integers(2, 14))
def test_an_address_is_of_its_range_and_nobody_elses(last: int, taken: set[int], after: int) -> None:
    pool = IPv6Network((0xFD << 120 | last << 4, 124))
    found = allocate(pool, {str(pool[each]) for each in taken}, str(pool[after]))
    assert IPv6Address(found) in list(pool)[2:-1] and int(IPv6Address(found)) & 15 not in taken


def test_a_port_of_one_address_comes_before_that_of_all() -> None:
    everywhere, one = Forward("tcp", "", 80, "10.0.0.2", 8080), Forward("tcp", "192.0.2.1", 80, "10.0.0.3", 80)
    lines = [line for line in ruleset("t", "br", "10.0.0.0/29", [everywhere, one]).splitlines() if "hostports" in line]
    assert lines[-2:] == [
        "add rule ip t hostports ip daddr 192.0.2.1 tcp dport 80 dnat to 10.0.0.3:80",
        "add rule ip t hostports tcp dport 80 dnat to 10.0.0.2:8080",
    ]


def test_a_port_at_all_addresses_leads_to_the_sandbox_in_each_of_its_families() -> None:
    forwards = [Forward("tcp", "", 80, "10.0.0.2", 8080), Forward("tcp", "", 80, "fd00::2", 8080)]
    led = [line for line in ruleset("t", "br", "fd00::/64", forwards).splitlines() if " dnat to " in line]
    assert led == ["add rule ip6 t hostports tcp dport 80 dnat to [fd00::2]:8080"]


def test_only_chains_that_drop_what_they_do_not_name_need_a_rule() -> None:
    chain = {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "type": "filter"}
    rule = {"family": "ip", "table": "filter"}
    rejecting = [{"counter": {"packets": 0, "bytes": 0}}, {"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]
    listed = [
        {"chain": {**chain, "policy": "drop"}},
        {"chain": {**chain, "name": "other", "policy": "accept"}},
        {"chain": {**chain, "name": "input", "hook": "input", "policy": "drop"}},
        {"chain": {**chain, "name": "output", "hook": "output", "policy": "drop"}},
        {"chain": {**chain, "name": "rejecting", "policy": "accept"}},
        {"chain": {**chain, "name": "legacy", "policy": "accept"}},
        {"chain": {**chain, "name": "choosy", "policy": "accept"}},
        {"chain": {**chain, "family": "ip6", "policy": "drop"}},
        {"metainfo": {}},
        {"rule": {**rule, "chain": "other", "expr": rejecting}},
        {"rule": {**rule, "chain": "other", "expr": [{"accept": None}]}},
        {"rule": {**rule, "chain": "rejecting", "expr": rejecting}},
        {"rule": {**rule, "chain": "legacy", "expr": [{"xt": {"type": "target", "name": "REJECT"}}]}},
        {"rule": {**rule, "chain": "choosy", "expr": [{"match": {}}, {"drop": None}]}},
    ]
    assert [(found.name, found.hook) for found in dropping_chains(listed)] == [
        ("FORWARD", "forward"), ("input", "input"), ("rejecting", "forward"), ("legacy", "forward")
    ]  # fmt: skip
    assert [found.family for found in dropping_chains(listed, FAMILIES)] == ["ip", "ip", "ip", "ip", "ip6"]


def test_what_passes_by_the_bridge_is_let_through_and_forgotten_again() -> None:
    assert accepting(Chain("inet", "f", "in", "input"), "br", "mark") == (
        'insert rule inet f in iifname "br" counter accept comment "mark"\n'
    )
    assert accepting(Chain("ip", "filter", "FORWARD", "forward"), "br", "mark").splitlines() == [
        'insert rule ip filter FORWARD iifname "br" counter accept comment "mark"',
        'insert rule ip filter FORWARD oifname "br" counter accept comment "mark"',
    ]
    rule = {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 7, "comment": "mark"}
    assert deletions([{"rule": rule}, {"rule": {**rule, "comment": "no"}}], "mark") == (
        "delete rule ip filter FORWARD handle 7\n"
    )
