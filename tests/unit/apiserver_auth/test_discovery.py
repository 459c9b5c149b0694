"""Discovery in each form that clients ask for, and what they may assume of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apiserver.discovery import Discovery, built_in, respond
from apiserver.root_paths import root_paths
from machinery.api.errors import NotAcceptable
from machinery.api.resource import Object, Resource
from machinery.api.resources import RESOURCES

AGGREGATED = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)
PATHS = Path(__file__).parents[2] / "exchanges" / "path.json"


def document(path: str, accept: str = "application/json") -> Object:
    found = respond(path, accept)
    assert found is not None
    body: Object = json.loads(found.body)
    return body


def test_the_root_lists_what_upstreams_lists() -> None:
    recorded = next(each for each in json.loads(PATHS.read_text()) if each["name"] == "path/root")
    assert root_paths(built_in()) == recorded["answers"][0]["body"]["paths"]


def test_every_row_is_in_its_legacy_list() -> None:
    for row in RESOURCES:
        listed = document("/" + ("apis/" + row.api_version if row.group else "api/v1"))
        entries = {each["name"]: each for each in listed["resources"]}
        assert entries[row.plural]["singularName"] == row.kind.lower()
        assert entries[row.plural]["verbs"] == list(row.verbs)
        assert {f"{row.plural}/{sub.name}" for sub in row.subresources} <= set(entries)


def test_the_hash_of_pods_is_the_known_one() -> None:
    pods = next(each for each in document("/api/v1")["resources"] if each["name"] == "pods")
    assert pods["storageVersionHash"] == "xPOwRZ+Yhw8="


def test_groups_tell_their_preferred_version() -> None:
    groups = {each["name"]: each for each in document("/apis")["groups"]}
    assert groups["autoscaling"]["preferredVersion"] == {"groupVersion": "autoscaling/v2", "version": "v2"}
    assert [each["version"] for each in document("/apis/autoscaling")["versions"]] == ["v2", "v1"]


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
def test_the_aggregated_form_has_every_row_and_its_type(version: str) -> None:
    accept = f"application/json;as=APIGroupDiscoveryList;v={version};g=apidiscovery.k8s.io,application/json"
    rows = 0
    for path in ("/api", "/apis"):
        found = respond(path, accept)
        assert found is not None
        assert (
            found.headers["Content-Type"]
            == f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        )
        body = json.loads(found.body)
        assert body["apiVersion"] == f"apidiscovery.k8s.io/{version}"
        rows += sum(len(each["resources"]) for item in body["items"] for each in item["versions"])
    assert rows == len(RESOURCES)


def test_drain_finds_the_kind_of_evictions() -> None:
    core = document("/api", AGGREGATED)["items"][0]["versions"][0]["resources"]
    pods = next(each for each in core if each["resource"] == "pods")
    eviction = next(each for each in pods["subresources"] if each["subresource"] == "eviction")
    assert eviction["responseKind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}


def test_who_has_the_document_gets_no_second_copy() -> None:
    first = respond("/apis", AGGREGATED)
    assert first is not None
    again = respond("/apis", AGGREGATED, first.headers["ETag"])
    assert again is not None
    assert (again.status, again.body) == (304, b"")
    assert first.headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/json", "application/vnd.kubernetes.protobuf, */*", "a/b,application/*;q=0.1"]
)
def test_who_asks_for_json_gets_the_legacy_form(accept: str) -> None:
    assert document("/apis", accept)["kind"] == "APIGroupList"


def test_other_forms_and_other_paths() -> None:
    with pytest.raises(NotAcceptable):
        respond("/apis", "application/vnd.kubernetes.protobuf")
    assert [respond(path) for path in ("/apis/nowhere", "/apis/apps/v9", "/api/v2", "/version", "/")] == [None] * 5


def test_a_custom_resource_is_one_more_row() -> None:
    row = Resource("example.com", "v1", "Widget", "widgets")
    found = Discovery((*RESOURCES, row)).respond("/apis/example.com/v1")
    assert found is not None
    assert json.loads(found.body)["resources"][0]["name"] == "widgets"
