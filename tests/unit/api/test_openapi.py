"""The OpenAPI documents hold together, and say what kubectl looks for in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from machinery.api import openapi, schema
from machinery.api.resource import Resource
from machinery.api.resources import BY_KIND, DEPLOYMENTS, PODS, RESOURCES
from machinery.rpc.wire import Wire

GROUP_VERSIONS = sorted({(row.group, row.version) for row in RESOURCES})


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


@pytest.mark.parametrize(("group", "version"), GROUP_VERSIONS)
def test_each_document_defines_what_it_refers_to(group: str, version: str) -> None:
    document = orjson.loads(openapi.v3_document(group, version))
    assert set(references(document)) <= set(document["components"]["schemas"])
    ids = [
        operation["operationId"]
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))


def test_a_patch_operation_tells_its_kind_and_that_it_validates_fields() -> None:
    document = orjson.loads(openapi.v3_document("apps", "v1"))
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert {"dryRun", "fieldValidation", "fieldManager", "force"} <= {one["name"] for one in patch["parameters"]}


def test_the_index_leads_to_every_group_version() -> None:
    index = openapi.v3_index(RESOURCES)["paths"]
    assert len(index) == len(GROUP_VERSIONS)
    assert index["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")


def test_a_custom_document_holds_the_custom_kinds() -> None:
    row = Resource("stable.example.com", "v1", "Widget", "widgets")
    structure = {"type": "object", "properties": {"spec": {"type": "object"}}}
    document = orjson.loads(openapi.custom_document("stable.example.com", "v1", [(row, structure)]))
    schemas = document["components"]["schemas"]
    assert set(references(document)) <= set(schemas)
    widget = schemas["com.example.stable.v1.Widget"]
    assert widget["x-kubernetes-group-version-kind"][0]["kind"] == "Widget"
    assert set(widget["properties"]) == {"apiVersion", "kind", "metadata", "spec"}


def test_version_two_survives_its_wire_form() -> None:
    document = openapi.v2_document()
    assert set(references(document)) <= set(document["definitions"])
    message = Wire("openapi-v2").message("openapi.v2.Document").FromString(openapi.v2_protobuf())
    assert len(message.paths.path) == len(document["paths"])
    pod = next(one.value for one in message.definitions.additional_properties if one.name.endswith("core.v1.Pod"))
    assert [one.name for one in pod.properties.additional_properties] == list(
        document["definitions"]["io.k8s.api.core.v1.Pod"]["properties"]
    )


def test_every_kind_has_a_definition() -> None:
    for kind in BY_KIND:
        found = schema.definition(kind)
        assert found is not None
        assert found.field("metadata") is not None or found.field("spec") is not None


def test_a_definition_tells_how_lists_are_merged() -> None:
    containers = schema.definition(DEPLOYMENTS)
    for name in ("spec", "template", "spec", "containers"):
        assert containers is not None
        containers = containers.field(name)
    assert containers is not None
    assert (containers.type, containers.list_type, containers.list_map_keys) == ("array", "map", ("name",))
    assert (containers.patch_strategies, containers.patch_merge_key) == (("merge",), "name")
    ports = containers.items.field("ports") if containers.items else None
    assert ports is not None
    assert ports.items is not None
    assert ports.list_map_keys == ("containerPort", "protocol")
    protocol = ports.items.field("protocol")
    assert protocol is not None
    assert protocol.default == "TCP"


def test_a_definition_knows_maps_and_missing_fields() -> None:
    pod = schema.definition(PODS)
    assert pod is not None
    assert pod.field("nothing") is None
    labels = pod.field("metadata").field("labels")  # type: ignore[union-attr]
    assert labels is not None
    assert labels.is_map
    assert labels.field("any").type == "string"  # type: ignore[union-attr]
