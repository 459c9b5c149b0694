"""Entries: the resourceVersion lies where it belongs, whatever the writer's order, and parsed forms are bounded."""

from __future__ import annotations

import json

import orjson
import pytest

from apiserver.cache_entry import Bounds, Entry, ParsedObjects, bucket_prefix, splice

POD_KEY = "/registry/pods/default/a"


def entry(value: bytes, *, key: str = POD_KEY, revision: int = 7, parsed: ParsedObjects | None = None) -> Entry:
    return Entry(key, value, revision, 3, parsed or ParsedObjects())


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


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def entries_of(parsed: ParsedObjects, count: int) -> list[Entry]:
    return [entry(b'{"metadata":{}}', key=f"/registry/pods/default/{n}", parsed=parsed) for n in range(count)]


def kept(entries: list[Entry]) -> list[int]:
    return [number for number, each in enumerate(entries) if each.is_parsed]


def test_parsed_forms_are_bounded_and_made_again() -> None:
    parsed = ParsedObjects(Bounds(least=0, most=3))
    entries = entries_of(parsed, 3)
    first, second, _ = (found.object for found in entries)
    entries[1].was_used = False
    entry(b'{"metadata":{}}', parsed=parsed)
    # The one that nobody used goes, though it is not the oldest.
    assert entries[0].object is first
    assert entries[1].object is not second
    assert entries[1].object == second
    assert entries[1].object is entries[1].object


def test_what_is_in_use_stays_parsed_and_what_no_longer_is_goes() -> None:
    time = Time()
    parsed = ParsedObjects(Bounds(least=2, most=100, seconds=30.0), time)
    entries = entries_of(parsed, 10)
    assert kept(entries) == list(range(10))
    time.now = 31.0
    assert entries[3].object
    more = entries_of(parsed, 1)
    assert kept(entries) == [3]
    time.now = 62.0
    more += entries_of(parsed, 1)
    # Few enough stay however old they are.
    assert (kept(entries), kept(more)) == ([3], [1])


def test_what_was_replaced_takes_no_place() -> None:
    parsed = ParsedObjects(Bounds(least=1, most=100))
    replaced, current = entries_of(parsed, 2)
    replaced.forget()
    assert entries_of(parsed, 1)[0].is_parsed
    assert current.is_parsed


def test_a_large_number_goes_in_parts() -> None:
    time = Time()
    parsed = ParsedObjects(Bounds(least=0, most=10_000, seconds=30.0), time)
    entries = entries_of(parsed, 1000)
    time.now = 31.0
    entries_of(parsed, 1)
    assert 700 < len(kept(entries)) < 1000
    entries_of(parsed, 5)
    assert kept(entries) == []


def test_what_is_no_object_is_refused() -> None:
    for value in (b"", b"[]", b"1", b"{"):
        with pytest.raises(ValueError):  # noqa: PT011 - orjson's error is one too
            entry(value)
