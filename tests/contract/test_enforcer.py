"""A pod is let begin once its policies are in the kernel, and stays judged until nothing of it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from kubelet.policy.enforcer import Enforcer, tear_down
from machinery.api.resources import NAMESPACES, NETWORK_POLICIES, PODS
from machinery.client.clock import SystemClock
from machinery.ip_families import FAMILIES, IPV4, IPV6, Family
from machinery.linux import nft
from tests.known import Known

SHUT = {"metadata": {"name": "shut", "namespace": "d"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
HERE = {"metadata": {"name": "d", "labels": {}}}
ADDRESS = "198.51.100.7"


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "d", "uid": f"uid-{name}"}, "spec": {"containers": [], **spec}}


@pytest.fixture
def table() -> Iterator[str]:
    name = f"mkpy-test-{os.getpid()}"
    yield name
    tear_down(name)


def judged(table: str, family: Family = IPV4) -> list[str]:
    """The addresses whose way out the kernel judges."""
    try:
        listed = nft.query(f"list map {family.table(table)} egress-of")
    except nft.NftError:
        return []
    (found,) = [each["map"] for each in listed if "map" in each]
    return sorted(address for address, _ in found.get("elem") or ())


async def test_the_kernel_knows_the_policies_before_the_pod_may_begin(table: str) -> None:
    cache = Known((NETWORK_POLICIES, SHUT), (NAMESPACES, HERE))
    enforcer = Enforcer(table, cache, SystemClock())
    # Neither the API nor the cache has heard of the address.
    await enforcer.hold(pod("a"), [ADDRESS])
    assert judged(table) == [ADDRESS]
    await enforcer.hold(pod("b"), ["198.51.100.8"])
    assert judged(table) == [ADDRESS, "198.51.100.8"]
    # The API forgets a pod that is deleted by force at once, while its containers still end.
    enforcer.release(pod("b"))
    await enforcer.hold(pod("c"), ["198.51.100.9"])
    assert judged(table) == [ADDRESS, "198.51.100.9"]


async def test_an_address_that_is_given_again_is_its_new_pods(table: str) -> None:
    only_a = {**SHUT, "spec": {"podSelector": {"matchLabels": {"app": "a"}}, "policyTypes": ["Egress"]}}
    old = {**pod("a"), "status": {"podIPs": [{"ip": ADDRESS}]}}
    old["metadata"]["labels"] = {"app": "a"}
    cache = Known((NETWORK_POLICIES, only_a), (NAMESPACES, HERE), (PODS, old))
    enforcer = Enforcer(table, cache, SystemClock())
    await enforcer.hold(pod("other"), ["198.51.100.8"])
    assert judged(table) == [ADDRESS]
    await enforcer.hold(pod("b"), [ADDRESS])
    assert judged(table) == []


async def test_the_hosts_network_and_other_families_are_nobodys(table: str) -> None:
    enforcer = Enforcer(table, Known((NETWORK_POLICIES, SHUT), (NAMESPACES, HERE)), SystemClock())
    await enforcer.hold(pod("a", hostNetwork=True), [ADDRESS])
    await enforcer.hold(pod("b"), ["fd00::7"])
    assert judged(table) == []


async def test_both_addresses_of_a_pod_are_judged_where_pods_have_both(table: str) -> None:
    enforcer = Enforcer(table, Known((NETWORK_POLICIES, SHUT), (NAMESPACES, HERE)), SystemClock(), FAMILIES)
    await enforcer.hold(pod("a"), [ADDRESS, "fd00::7"])
    assert (judged(table), judged(table, IPV6)) == ([ADDRESS], ["fd00::7"])
    tear_down(table)
    assert judged(table, IPV6) == []


async def test_what_the_kernel_refuses_lets_no_pod_begin() -> None:
    enforcer = Enforcer("no table", Known((NETWORK_POLICIES, SHUT), (NAMESPACES, HERE)), SystemClock())
    for _ in range(2):
        with pytest.raises(nft.NftError):
            await enforcer.hold(pod("a"), [ADDRESS])
