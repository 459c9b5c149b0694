"""Entries: the resourceVersion lies where it belongs, whatever the writer's order, and parsed forms are bounded."""

from __future__ import annotations

import json

import orjson
import pytest

from apiserver.cache_entry import Entry, ParsedObjects, bucket_prefix, splice

POD_KEY = "/registry/pods/default/a"


def entry(value: bytes, *, key: str = POD_KEY, revision: int = 7, parsed: ParsedObjects | None = None) -> Entry:
    return Entry(key, value, revision, 3, parsed or ParsedObjects(10))


@pytest.mark.parametrize(
    "value",
    [
        b'{"kind":"Pod","metadata":{"name":"a"}}',
        b'{"kind":"Pod","metadata":{}}',
        b'{"kind":"Pod"}',
        b'{"kind":"Pod","metadata":null}',
        b'{"spec":{"template":{"metadata":{"labels":{"x":"y"}}}},"metadata":{"name":"a"}}',
        b'{"data":{"x":"\\"metadata\\":{"},"metadata":{"name":"a"}}',
        b'{"metadata":{"annotations":{"uid":"x","metadata":"{}"},"name":"a"},"spec":{}}',
        b'{ "metadata" : { "name" : "a" } }',
        '{"metadata":{"name":"é","annotations":{"k":"\\u2028"}}}'.encode(),
    ],
)
def test_the_revision_is_spliced_into_the_objects_own_metadata(value: bytes) -> None:
    expected = json.loads(value)
    expected["metadata"] = {**(expected.get("metadata") or {}), "resourceVersion": "7"}
    assert json.loads(entry(value).json) == expected
    assert json.loads(splice(value, 7)) == expected
    assert entry(value).object == expected


def test_a_revision_that_another_writer_stored_does_not_win() -> None:
    found = entry(b'{"metadata":{"name":"a","resourceVersion":"1"}}')
    assert found.json.count(b"resourceVersion") == 1
    assert found.object["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize(
    ("key", "prefix", "namespace", "name"),
    [
        (POD_KEY, "/registry/pods/", "default", "a"),
        ("/registry/minions/n", "/registry/minions/", "", "n"),
        ("/registry/services/specs/default/s", "/registry/services/specs/", "default", "s"),
        ("/registry/services/endpoints/default/s", "/registry/services/endpoints/", "default", "s"),
        ("/registry/example.com/widgets/default/w", "/registry/example.com/widgets/", "default", "w"),
        ("/registry/clusterroles/system:node", "/registry/clusterroles/", "", "system:node"),
        (
            "/registry/apiextensions.k8s.io/customresourcedefinitions/w.example.com",
            "/registry/apiextensions.k8s.io/customresourcedefinitions/",
            "",
            "w.example.com",
        ),
    ],
)
def test_a_key_tells_resource_namespace_and_name(key: str, prefix: str, namespace: str, name: str) -> None:
    found = entry(b'{"metadata":{}}', key=key)
    assert (bucket_prefix(key), found.namespace, found.name) == (prefix, namespace, name)


def test_what_the_indexes_need_is_read_once() -> None:
    found = entry(
        orjson.dumps(
            {
                "metadata": {"labels": {"app": "x"}, "ownerReferences": [{"uid": "u1"}, {"uid": "u2"}]},
                "spec": {"nodeName": "n"},
            }
        )
    )
    assert (dict(found.labels), found.owners, found.node) == ({"app": "x"}, ("u1", "u2"), "n")


def test_the_deleted_form_has_the_deletions_revision() -> None:
    last = entry(b'{"metadata":{"name":"a","labels":{"x":"y"}}}').deleted_at(9)
    assert (last.revision, last.create_revision, dict(last.labels)) == (9, 3, {"x": "y"})
    assert orjson.loads(last.json) == last.object
    assert last.object["metadata"]["resourceVersion"] == "9"


def test_parsed_forms_are_bounded_and_made_again() -> None:
    parsed = ParsedObjects(3)
    entries = [entry(b'{"metadata":{}}', key=f"/registry/pods/default/{n}", parsed=parsed) for n in range(3)]
    first, second, _ = (found.object for found in entries)
    entries[1].was_used = False
    entry(b'{"metadata":{}}', parsed=parsed)
    # The one that nobody used goes, though it is not the oldest.
    assert entries[0].object is first
    assert entries[1].object is not second
    assert entries[1].object == second
    assert entries[1].object is entries[1].object


def test_what_is_no_object_is_refused() -> None:
    for value in (b"", b"[]", b"1", b"{"):
        with pytest.raises(ValueError):  # noqa: PT011 - orjson's error is one too
            entry(value)
