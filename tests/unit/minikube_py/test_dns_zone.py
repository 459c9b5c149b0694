"""The zone by Kubernetes' DNS specification: what each name leads to, and what there is not."""

from __future__ import annotations

from typing import Any

import pytest

from machinery.api.resource import Object, Resource
from machinery.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from minikube_py.addons.dns.zone import EMPTY, NOWHERE, Addresses, Found, Record, Zone
from tests.known import Known

DOMAIN = "cluster.local"
Made = tuple[Resource, Object]


def namespace(name: str) -> Made:
    return NAMESPACES, {"metadata": {"name": name}}


def service(name: str, **spec: Any) -> Made:
    return SERVICES, {"metadata": {"namespace": "d", "name": name}, "spec": spec}


def slice_of(name: str, *endpoints: dict[str, Any], type_: str = "IPv4") -> Made:
    labels = {"kubernetes.io/service-name": name, "service.kubernetes.io/headless": ""}
    ports = [{"name": "web", "port": 8080, "protocol": "TCP"}]
    metadata = {"namespace": "d", "name": f"{name}-{type_}", "labels": labels}
    return ENDPOINT_SLICES, {"metadata": metadata, "addressType": type_, "endpoints": list(endpoints), "ports": ports}


WORLD = Known(
    namespace("d"),
    service("plain", clusterIP="10.96.0.9", clusterIPs=["10.96.0.9", "fd00::9"],
            ports=[{"name": "web", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]),
    service("headless", clusterIP="None"),
    service("both", clusterIP="None"),
    slice_of("both", {"addresses": ["10.244.0.9"]}),
    slice_of("both", {"addresses": ["fd00:1::5"]}, type_="IPv6"),
    service("away", type="ExternalName", externalName="Example.ORG."),
    slice_of("headless", {"addresses": ["10.244.0.5"], "hostname": "db-0"}, {"addresses": ["10.244.0.6"]},
             {"addresses": ["10.244.0.7"], "conditions": {"ready": False}}),
)  # fmt: skip


def found(*records: Record) -> Found:
    return Found(exists=True, records=list(records))


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("plain.d.svc", found(Record("A", "10.96.0.9"), Record("AAAA", "fd00::9"))),
        ("_web._tcp.plain.d.svc", found(Record("SRV", f"plain.d.svc.{DOMAIN}", 80))),
        ("_dns._udp.plain.d.svc", found(Record("SRV", f"plain.d.svc.{DOMAIN}", 53))),
        ("_dns._tcp.plain.d.svc", NOWHERE),
        ("other.plain.d.svc", NOWHERE),
        ("headless.d.svc", found(Record("A", "10.244.0.5"), Record("A", "10.244.0.6"))),
        ("db-0.headless.d.svc", found(Record("A", "10.244.0.5"))),
        ("10-244-0-6.headless.d.svc", found(Record("A", "10.244.0.6"))),
        ("10-244-0-7.headless.d.svc", NOWHERE),
        ("_web._tcp.headless.d.svc", found(Record("SRV", f"db-0.headless.d.svc.{DOMAIN}", 8080),
                                           Record("SRV", f"10-244-0-6.headless.d.svc.{DOMAIN}", 8080))),
        ("away.d.svc", Found(exists=True, alias="example.org")),
        ("none.d.svc", NOWHERE),
        ("plain.other.svc", NOWHERE),
        ("d.svc", EMPTY),
        ("other.svc", NOWHERE),
        ("svc", EMPTY),
        ("10-244-0-6.d.pod", found(Record("A", "10.244.0.6"))),
        ("10-244-0-6.other.pod", NOWHERE),
        ("10-244-0-600.d.pod", NOWHERE),
        ("fd00-10-244--6.d.pod", found(Record("AAAA", "fd00:10:244::6"))),
        ("fd00-10--244--6.d.pod", NOWHERE),
        ("fd00-1--5.both.d.svc", found(Record("AAAA", "fd00:1::5"))),
        ("both.d.svc", found(Record("A", "10.244.0.9"), Record("AAAA", "fd00:1::5"))),
        ("dns-version", found(Record("TXT", "1.1.0"))),
        ("what.ever", NOWHERE),
    ],
)  # fmt: skip
def test_a_name_leads_where_the_specification_says(name: str, answer: Found) -> None:
    said = Zone(WORLD, DOMAIN, lambda address: "").find(f"{name}.{DOMAIN}")
    assert Found(said.exists, list(said.records), said.alias) == Found(
        answer.exists, list(answer.records), answer.alias
    )


def test_only_its_own_names_are_the_zones() -> None:
    zone = Zone(WORLD, DOMAIN, lambda address: "")
    assert [zone.holds(name) for name in (DOMAIN, f"a.{DOMAIN}", "example.org", f"x{DOMAIN}")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_an_address_leads_back_to_its_name() -> None:
    addresses = Addresses(WORLD, DOMAIN)
    WORLD.subscribe(SERVICES, lambda change: addresses.follow_service(change.before, change.after))
    WORLD.subscribe(ENDPOINT_SLICES, lambda change: addresses.follow_slice(change.before, change.after))
    assert addresses.name_of("10.96.0.9") == f"plain.d.svc.{DOMAIN}"
    assert addresses.name_of("10.244.0.5") == f"db-0.headless.d.svc.{DOMAIN}"
    assert addresses.name_of("192.0.2.1") == ""
    plain = WORLD.get(SERVICES, "d", "plain")
    addresses.follow_service(plain, None)
    assert addresses.name_of("10.96.0.9") == ""
