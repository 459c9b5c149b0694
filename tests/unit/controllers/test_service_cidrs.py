"""ServiceCIDRs as tables: ready at once, and gone when no address needs them any more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controllers.plan import Key, Patch, Plan
from controllers.service_cidrs import ALLOCATED, FINALIZER, SERVICE_CIDRS, ServiceCidr, State, plan
from machinery.api.resource import Object
from machinery.api.resources import IP_ADDRESSES, SERVICE_C_I_D_RS
from tests.endpoint_world import NOW, Acting, World

DELETED = "2026-01-01T00:00:00Z"


def cidr(name: str = "c", /, *cidrs: str, deleted: bool = False, finalizers: tuple[str, ...] = (FINALIZER,)) -> Object:
    metadata: Object = {"name": name, "uid": name, "finalizers": list(finalizers)}
    if deleted:
        metadata["deletionTimestamp"] = DELETED
    return {"metadata": metadata, "spec": {"cidrs": list(cidrs or ("10.0.0.0/16",))}}


def address(name: str) -> Object:
    return {"metadata": {"name": name, "labels": dict([ALLOCATED])}}


def planned(
    going: Object, *others: Object, addresses: tuple[str, ...] = (), seconds: float = 60
) -> Plan:  # fmt: skip
    state = State(ServiceCidr(going), tuple(map(ServiceCidr, others)), addresses)
    return plan(state, NOW + timedelta(seconds=seconds))


def test_a_new_one_is_guarded_and_told_to_be_ready_once() -> None:
    world = World((SERVICE_C_I_D_RS, cidr(finalizers=())))
    acting = Acting(SERVICE_CIDRS, world)
    acting.settle()
    found = world.get(SERVICE_C_I_D_RS, "", "c")
    assert found is not None
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert found["status"]["conditions"] == [
        {
            "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready",
            "lastTransitionTime": DELETED,
        }
    ]  # fmt: skip
    assert world.writes == 2
    assert list(acting.plan(Key("", "c")).actions) == []


@pytest.mark.parametrize(
    ("cidrs", "others", "addresses", "goes"),
    [
        (["10.0.0.0/16"], [], [], True),
        (["10.0.0.0/16"], [], ["10.0.3.4"], False),
        (["10.0.0.0/16"], [], ["10.1.3.4"], True),
        (["10.0.0.0/16"], ["10.0.0.0/8"], ["10.0.3.4"], True),
        (["10.0.0.0/16"], ["10.0.3.0/24"], ["10.0.3.4"], True),
        (["10.0.0.0/16"], ["10.0.3.0/24"], ["10.0.4.4"], False),
        (["10.0.0.0/16", "fd00::/112"], ["10.0.0.0/16"], ["fd00::5"], False),
        (["10.0.0.0/16", "fd00::/112"], ["10.0.0.0/16", "fd00::/64"], ["fd00::5", "10.0.3.4"], True),
    ],
)
def test_one_goes_when_no_address_needs_it(
    cidrs: list[str], others: list[str], addresses: list[str], *, goes: bool
) -> None:
    (patch,) = planned(
        cidr("c", *cidrs, deleted=True), *([cidr("o", *others)] if others else []), addresses=tuple(addresses)
    ).actions
    assert isinstance(patch, Patch)
    if goes:
        assert patch.patch["metadata"]["finalizers"] is None
    else:
        (said,) = patch.patch["status"]["conditions"]
        assert (said["status"], said["reason"]) == ("False", "Terminating")


def test_one_that_may_go_waits_for_its_grace() -> None:
    waits = planned(cidr(deleted=True), seconds=4)
    assert (list(waits.actions), waits.requeue_after) == ([], 6.0)


def test_an_address_given_back_wakes_those_that_are_going() -> None:
    world = World(
        (SERVICE_C_I_D_RS, cidr("c", deleted=True)), (SERVICE_C_I_D_RS, cidr("d")), (IP_ADDRESSES, address("10.0.0.1"))
    )
    acting = Acting(SERVICE_CIDRS, world)
    acting.waiting.clear()
    world.put(IP_ADDRESSES, address("10.0.0.2"))
    assert acting.waiting == {}
    world.remove(IP_ADDRESSES, "", "10.0.0.1")
    assert list(acting.waiting) == [Key("", "c")]
