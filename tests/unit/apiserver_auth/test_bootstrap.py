"""What a fresh cluster gets, that a second start writes nothing, and what is mended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import apiserver.bootstrap
from apiserver.bootstrap.aggregation import changed_roles
from apiserver.bootstrap.defaults import BootstrapConfig, Wanted, namespaces, objects, service_cidr
from apiserver.bootstrap.reconcile import reconciled
from machinery.api.resource import Object
from machinery.api.resources import API_SERVICES, BY_PATH, ENDPOINTS
from machinery.structs import replace

CONFIG = BootstrapConfig(("10.96.0.0/16",), "192.0.2.5", 6443, "PEM")
DATA = Path(apiserver.bootstrap.__file__).parent / "data"


def find(plural: str, name: str, config: BootstrapConfig = CONFIG) -> Wanted:
    return next(each for each in objects(config) if each.resource.plural == plural and each.key[1] == name)


def test_sums_of_roles_are_what_upstream_sums_up() -> None:
    recorded = {
        each["metadata"]["name"]: each
        for each in json.loads((DATA / "bootstrap-rbac.json").read_text())["clusterroles"]
    }
    for name in ("admin", "edit", "view"):
        assert find("clusterroles", name).object["rules"] == recorded[name]["rules"]


def test_the_kubernetes_service_takes_the_first_address() -> None:
    assert find("services", "kubernetes").object["spec"]["clusterIP"] == "10.96.0.1"
    assert find("endpoints", "kubernetes").object["subsets"] == [
        {"addresses": [{"ip": "192.0.2.5"}], "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}]}
    ]
    loopback = BootstrapConfig(("10.96.0.0/16",), "127.0.0.1", 6443, "PEM")
    assert not [each for each in objects(loopback) if each.resource is ENDPOINTS]


def test_nothing_is_missing_from_what_was_made() -> None:
    wanted = [*namespaces(), *objects(CONFIG)]
    assert [each.key for each in wanted if reconciled(each, each.object)] == []


def test_each_group_and_version_is_registered_but_the_aggregators_own() -> None:
    registered = {each.key[1] for each in objects(CONFIG) if each.resource is API_SERVICES}
    served = {f"{version}.{group}" for group, version, _ in BY_PATH}
    assert registered == served - {"v1.apiregistration.k8s.io"}


def test_a_registration_is_mended_while_it_is_managed() -> None:
    wanted = find("apiservices", "v2.autoscaling")
    changed = {**wanted.object, "spec": {**wanted.object["spec"], "versionPriority": 1}}
    assert (reconciled(wanted, changed) or {})["spec"] == wanted.object["spec"]
    assert reconciled(wanted, {**changed, "metadata": {"name": "v2.autoscaling"}}) is None


def test_taken_permissions_come_back_and_added_ones_stay() -> None:
    wanted = find("clusterroles", "system:node")
    own = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}
    there = {**wanted.object, "rules": [*wanted.object["rules"][1:], own]}
    mended = reconciled(wanted, there)
    assert mended is not None
    assert mended["rules"][:-1] == there["rules"]
    assert mended["rules"][-1] == {
        "verbs": ["create"],
        "apiGroups": ["authentication.k8s.io"],
        "resources": ["tokenreviews"],
    }
    annotations = {"rbac.authorization.kubernetes.io/autoupdate": "false"}
    assert reconciled(wanted, {**there, "metadata": {**there["metadata"], "annotations": annotations}}) is None


def test_lost_subjects_come_back_and_added_ones_stay() -> None:
    wanted = find("clusterrolebindings", "cluster-admin")
    own = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
    mended = reconciled(wanted, {**wanted.object, "subjects": [own]})
    assert mended is not None
    assert mended["subjects"] == [own, *wanted.object["subjects"]]


def test_another_address_and_port_are_told() -> None:
    moved = BootstrapConfig(CONFIG.service_cidrs, "192.0.2.9", 7443, "PEM")
    endpoints = reconciled(find("endpoints", "kubernetes", moved), find("endpoints", "kubernetes").object)
    service = reconciled(find("services", "kubernetes", moved), find("services", "kubernetes").object)
    assert endpoints is not None
    assert service is not None
    assert endpoints["subsets"][0]["addresses"] == [{"ip": "192.0.2.9"}]
    assert service["spec"]["ports"][0]["targetPort"] == 7443


@pytest.mark.parametrize(
    ("there", "wanted", "after"),
    [
        (["10.96.0.0/16"], ["10.96.0.0/16", "fd00:1::/112"], ["10.96.0.0/16", "fd00:1::/112"]),
        (["10.96.0.0/16"], ["10.96.0.0/16"], None),
        (["10.96.0.0/16", "fd00:1::/112"], ["10.96.0.0/16"], None),
        (["10.97.0.0/16"], ["10.96.0.0/16", "fd00:1::/112"], None),
    ],
)
def test_a_cluster_of_one_family_gets_the_second_range(
    there: list[str], wanted: list[str], after: list[str] | None
) -> None:
    stored, asked = (service_cidr(replace(CONFIG, service_cidrs=tuple(each))) for each in (there, wanted))
    mended = reconciled(asked, stored.object)
    assert (mended["spec"]["cidrs"] if mended is not None else None) == after


def summed(name: str, label: str, *rules: Object, labels: Object | None = None) -> Object:
    metadata = {"name": name, "labels": labels or {}}
    return {"metadata": metadata, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]},
            "rules": list(rules)}  # fmt: skip


def test_a_labelled_role_adds_to_the_sum_once() -> None:
    rule = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}
    parts = [{"metadata": {"name": name, "labels": {"to-x": "true"}}, "rules": [rule]} for name in ("b", "a")]
    changed = changed_roles([summed("x", "to-x"), *parts])
    assert [each["rules"] for each in changed] == [[rule]]
    assert changed_roles([changed[0], *parts]) == []
