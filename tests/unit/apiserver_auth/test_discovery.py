"""Discovery in each form that clients ask for, and what they may assume of it."""

from __future__ import annotations

import json
from pathlib import Path

from apiserver.discovery import Discovery, built_in, respond
from apiserver.root_paths import root_paths
from machinery.api.resource import Object, Resource
from machinery.api.resources import RESOURCES

PATHS = Path(__file__).parents[2] / "exchanges" / "path.json"


def document(path: str, *, is_aggregated: bool = False) -> Object:
    found = respond(path, is_aggregated=is_aggregated)
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


def test_the_aggregated_form_has_every_row_and_its_type() -> None:
    rows = 0
    for path in ("/api", "/apis"):
        found = respond(path, is_aggregated=True)
        assert found is not None
        assert found.headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        body = json.loads(found.body)
        assert body["apiVersion"] == "apidiscovery.k8s.io/v2"
        rows += sum(len(each["resources"]) for item in body["items"] for each in item["versions"])
    assert rows == len(RESOURCES)


def test_drain_finds_the_kind_of_evictions() -> None:
    core = document("/api", is_aggregated=True)["items"][0]["versions"][0]["resources"]
    pods = next(each for each in core if each["resource"] == "pods")
    eviction = next(each for each in pods["subresources"] if each["subresource"] == "eviction")
    assert eviction["responseKind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}


def test_who_has_the_document_gets_no_second_copy() -> None:
    first = respond("/apis", is_aggregated=True)
    assert first is not None
    again = respond("/apis", first.headers["ETag"], is_aggregated=True)
    assert again is not None
    assert (again.status, again.body) == (304, b"")
    assert first.headers["Vary"] == "Accept"


def test_other_paths() -> None:
    assert [respond(path) for path in ("/apis/nowhere", "/apis/apps/v9", "/api/v2", "/version", "/")] == [None] * 5


def test_a_custom_resource_is_one_more_row() -> None:
    row = Resource("example.com", "v1", "Widget", "widgets")
    found = Discovery((*RESOURCES, row)).respond("/apis/example.com/v1")
    assert found is not None
    assert json.loads(found.body)["resources"][0]["name"] == "widgets"
