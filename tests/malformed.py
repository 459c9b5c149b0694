"""Malformed objects of any kind: what a store may hold by a mistake, by hand or made from the kind's own schema."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import strategies as st

from machinery.api.resource import Object, Resource
from machinery.api.resources import RESOURCES
from machinery.api.schema import Definition, definition
from tests.contract.examples_of_kinds import example

STORED = [row for row in RESOURCES if row.is_stored]
ODD: list[Any] = [
    None, "", "odd", 0, -1, 1.5, 10**30, True, [], ["a"], [None], [{}], {}, {"a": None}, {"": ""}, [[]], "\u0000",
    "10.0.0.0/99", "99999999999Ei", "-1", "9999-99-99T00:00:00Z", "2026-01-01T00:00:00Z",
]  # fmt: skip
_OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": True, "blockOwnerDeletion": True}


def key_of(row: Resource, namespace: str, name: str) -> str:
    """Where Kubernetes keeps the object."""
    return f"/registry/{row.storage_prefix}/{f'{namespace}/' if row.namespaced else ''}{name}"


def stored(row: Resource, namespace: str, name: str, **parts: Any) -> Object:
    """The example of the kind as a store would hold it."""
    obj = {**copy.deepcopy(example(row)), **parts}
    metadata: Object = {"name": name, "uid": f"uid-of-{row.plural}-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    if row.namespaced:
        metadata["namespace"] = namespace
    return {**obj, "metadata": metadata}


def malformed(row: Resource, namespace: str) -> Iterator[tuple[str, bytes]]:
    """(name, value) of objects that are each wrong in another way."""
    whole = orjson.dumps(stored(row, namespace, "odd"))
    yield "odd-bytes", b"\xff\xfe\x00\x01"
    yield "odd-empty", b""
    yield "odd-null", b"null"
    yield "odd-list", b"[1,2]"
    yield "odd-string", b'"text"'
    yield "odd-cut", whole[: len(whole) // 2]
    yield "odd-protobuf", b"k8s\0\x0a\xff\xff\xff\xff\x0f"
    yield "odd-deep", b'{"metadata":' * 2000 + b"1" + b"}" * 2000
    yield "odd-deeper", whole[:-1] + b',"extra":' + b"[" * 500 + b"]" * 500 + b"}"
    yield "odd-bare", orjson.dumps({"kind": row.kind, "apiVersion": row.api_version})
    yield "odd-nothing", b"{}"
    # Every other one of a kind meets all sorts of malformations over all kinds.
    for number, obj in enumerate([*_wrong(row, namespace)][row.plural.count("s") % 2 :: 2]):
        name = f"odd-{number}"
        metadata = obj.get("metadata")
        if isinstance(metadata, dict) and "name" in metadata:
            name = metadata["name"] if metadata["name"].startswith("cycle") else name
            if metadata.get("uid"):
                metadata["uid"] = metadata["uid"].replace("-odd", f"-{name}")
            metadata["name"] = name
        yield name, orjson.dumps(obj)


def _wrong(row: Resource, namespace: str) -> Iterator[Object]:
    def changed(**parts: Any) -> Object:
        return {**stored(row, namespace, "odd"), **parts}

    def with_metadata(**parts: Any) -> Object:
        obj = stored(row, namespace, "odd")
        return {**obj, "metadata": {**obj["metadata"], **parts}}

    yield changed(apiVersion="nobody.example.com/v9")
    yield changed(kind="Nothing")
    for field in set(example(row)) - {"kind", "apiVersion", "metadata"}:
        yield {key: value for key, value in changed().items() if key != field}
    for field in ("spec", "status", "metadata", *example(row)):
        for odd in (None, "text", 7, [None], {}, {"conditions": [None]}, {"replicas": "many"}):
            yield changed(**{field: odd})
    yield with_metadata(labels={"a": 1}, annotations=["x"])
    yield with_metadata(labels={"a": None}, finalizers=[None, ""])
    yield with_metadata(uid=None, creationTimestamp=None)
    yield with_metadata(deletionTimestamp="2020-01-01T00:00:00Z", finalizers=["nobody.example.com/takes-it-away"])
    yield with_metadata(creationTimestamp="yesterday")
    yield with_metadata(
        managedFields=[{"fieldsV1": "x"}, {"manager": "m", "operation": "Update", "fieldsV1": {"f:": 1}}]
    )
    yield with_metadata(ownerReferences=[{}, {"kind": "Nothing", "apiVersion": "a/b/c", "name": "", "uid": ""}])
    # Each owns itself and the other.
    for name, other in (("cycle-a", "cycle-b"), ("cycle-b", "cycle-a")):
        owners = [
            {**_OWNER, "apiVersion": row.api_version, "kind": row.kind, "name": each, "uid": f"uid-{row.plural}-{each}"}
            for each in (name, other)
        ]
        obj = stored(row, namespace, name)
        metadata = {**obj["metadata"], "uid": f"uid-{row.plural}-{name}", "ownerReferences": owners}
        yield {**obj, "metadata": metadata}
    yield changed(spec={"containers": [{"resources": {"requests": {"cpu": "lots"}, "limits": {"": "1"}}}]})
    yield changed(
        spec={"nodeName": "n", "containers": [None, {}], "volumes": [{}], "tolerations": [{}], "affinity": {}}
    )
    yield changed(
        spec={"selector": {"matchExpressions": [{"key": "", "operator": "Perhaps", "values": None}]}, "template": {}}
    )
    yield changed(spec={"clusterIP": "nowhere", "clusterIPs": ["::1", "x"], "ports": [{"nodePort": -1}], "type": "Odd"})
    yield changed(status={"allocatable": {"cpu": "-1", "memory": ""}, "conditions": [{}, {"type": "Ready"}]})


def from_schema(row: Resource) -> st.SearchStrategy[Object]:
    """Objects with the kind's own fields, in which any value may be of another type, odd or missing."""
    described = definition(row)
    assert described is not None
    return _fields(described, 4).map(lambda fields: {**fields, "kind": row.kind, "apiVersion": row.api_version})


def _fields(described: Definition, depth: int) -> st.SearchStrategy[Object]:
    names = [name for name in described.field_names if name not in ("kind", "apiVersion")]
    if not names or depth == 0:
        return st.just({})

    @st.composite
    def some(draw: st.DrawFn) -> Object:
        chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=6))
        must = [name for name in described.required if name in names and draw(st.booleans())]
        found = {}
        for name in dict.fromkeys([*must, *chosen]):
            field = described.field(name)
            assert field is not None
            found[name] = draw(_value(field, depth - 1))
        return found

    return some()


def _value(described: Definition, depth: int) -> st.SearchStrategy[Any]:
    # One value in eight is of any type, so that most objects have a shape that gets far.
    return st.integers(0, 7).flatmap(lambda chance: st.sampled_from(ODD) if chance == 0 else _typed(described, depth))


def _typed(described: Definition, depth: int) -> st.SearchStrategy[Any]:
    match described.type:
        case "object" if described.values is not None:
            return st.dictionaries(
                st.sampled_from(["a", "cpu", "memory", "pods", ""]), _value(described.values, depth), max_size=3
            )
        case "object":
            return _fields(described, depth)
        case "array" if described.items is not None:
            return st.lists(_value(described.items, depth), max_size=2)
        case "integer":
            return st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31)])
        case "boolean":
            return st.booleans()
        case "string":
            return st.sampled_from(
                [
                    "",
                    "a",
                    "n",
                    "default",
                    "1",
                    "-1",
                    "100Mi",
                    "2026-01-01T00:00:00Z",
                    "None",
                    "In",
                    "Always",
                    "10.96.0.9",
                    "50%",
                ]
            )
        case _:
            return st.sampled_from(ODD)
