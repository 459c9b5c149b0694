"""Laws that hold for any object: canonical form is final, protobuf loses nothing, patches spare their arguments."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machinery.api import messages
from machinery.api.canonical import canonical, canonical_kind, sound
from machinery.api.decoding import check_types, decode_body, may_repeat_keys
from machinery.api.errors import BadRequest, StatusError
from machinery.api.messages import Field, message
from machinery.api.patch import merge_patch
from machinery.api.protobuf import decode, encode
from machinery.api.quantity import canonical as canonical_quantity
from machinery.api.quantity import parse as parse_quantity
from machinery.api.resource import Object
from machinery.api.resources import BY_KIND, DEPLOYMENTS, RESOURCES
from machinery.api.strategic import strategic_merge
from machinery.api.type_errors import complaints

TEXT = st.text(alphabet="ab/.-é", max_size=6)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXT, below, max_size=3),
    max_leaves=8,
)
SINGLES: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "bytes": st.sampled_from(["", "YQ==", "YWI="]),
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "double": st.sampled_from([0, 1, 0.5, -3.25]),
    messages.QUANTITY: st.sampled_from(["0", "1", "100m", "1Gi", "1.5", "1e3", "-2k"]),
    messages.INT_OR_STRING: st.integers(0, 99) | TEXT,
    messages.TIME: st.just("2026-01-02T03:04:05Z"),
    messages.MICRO_TIME: st.just("2026-01-02T03:04:05.000006Z"),
    messages.DURATION: TEXT,
    messages.EMPTY: st.just({}),
}


def single(kind: str, depth: int) -> st.SearchStrategy[Any]:
    if kind in SINGLES:
        return SINGLES[kind]
    if kind in messages.RAW:
        # A schema's alternatives are schemas and no other values.
        return st.just({"a": [1, None, "x"]}) if kind in (messages.RAW_EXTENSION, messages.FIELDS_V1) else st.just({})
    if kind in messages.STRING_LISTS:
        return st.lists(TEXT, max_size=2)
    return objects(kind, depth - 1) if depth > 0 else st.just({})


def field_values(field: Field, depth: int) -> st.SearchStrategy[Any]:
    if field.map_value:
        return st.dictionaries(TEXT, single(field.map_value, depth), max_size=2)
    if field.repeated:
        return st.lists(single(field.type, depth), max_size=2)
    return single(field.type, depth)


def objects(name: str, depth: int) -> st.SearchStrategy[Object]:
    described = message(name)
    names = st.lists(st.sampled_from(sorted(described.fields)), max_size=5, unique=True) if described.fields else None
    if names is None:
        return st.just({})
    return names.flatmap(
        lambda chosen: st.fixed_dictionaries(
            {key: field_values(described.fields[key], depth) for key in chosen if key not in ("kind", "apiVersion")}
        )
    )


@st.composite
def stored_objects(draw: st.DrawFn) -> Object:
    row = draw(st.sampled_from(RESOURCES))
    name = messages.resource_message(row)
    assert name is not None
    return {"kind": row.kind, "apiVersion": row.api_version, **draw(objects(name, 4))}


@given(stored_objects())
@settings(max_examples=150, deadline=None)
def test_canonical_form_is_final_and_survives_protobuf(obj: Object) -> None:
    group, _, version = obj["apiVersion"].rpartition("/")
    resource = BY_KIND[group, version, obj["kind"]]
    check_types(obj, resource)
    name = messages.resource_message(resource)
    assert name is not None
    assert complaints(obj, name) == ([], [])
    before = copy.deepcopy(obj)
    written = canonical(obj, resource)
    assert sound(obj, name) == written
    assert obj == before
    assert canonical(written, resource) == written
    if not resource.group.startswith("api"):
        assert canonical(decode(encode(written)), resource) == written


@given(st.dictionaries(TEXT, JSON_VALUES, max_size=3), st.dictionaries(TEXT, JSON_VALUES, max_size=3))
@settings(max_examples=100, deadline=None)
def test_a_merge_patch_is_idempotent_and_changes_no_argument(doc: Object, patch: Object) -> None:
    before = copy.deepcopy((doc, patch))
    once = merge_patch(doc, patch)
    assert (doc, patch) == before
    assert merge_patch(once, patch) == once


@given(objects("k8s.io.api.apps.v1.Deployment", 3), objects("k8s.io.api.apps.v1.Deployment", 3))
@settings(max_examples=60, deadline=None)
def test_a_strategic_patch_changes_no_argument(doc: Object, patch: Object) -> None:
    before = copy.deepcopy((doc, patch))
    with contextlib.suppress(StatusError):
        strategic_merge(doc, patch, DEPLOYMENTS)
    assert (doc, patch) == before


@given(JSON_VALUES)
@settings(max_examples=150, deadline=None)
def test_no_body_breaks_the_decoder(value: Any) -> None:
    body = json.dumps({"spec": value, "metadata": value, "kind": "Deployment"}).encode()
    try:
        obj = decode_body(body, "application/json", ("apps", "v1", "Deployment"))
        canonical(obj, DEPLOYMENTS)
    except BadRequest as error:
        assert "cannot be handled as a Deployment" in error.message


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status", "kind", "x"]), JSON_VALUES, max_size=3))
@settings(max_examples=150, deadline=None)
def test_the_quick_answer_agrees_with_the_thorough_one(obj: Object) -> None:
    name = "k8s.io.api.apps.v1.Deployment"
    assert (sound(obj, name) is not None) == (complaints(obj, name) == ([], []))


@given(st.lists(st.tuples(TEXT | st.sampled_from(['"', "\\", ":", '":']), TEXT), max_size=4))
@settings(max_examples=150, deadline=None)
def test_no_repeated_key_goes_unseen(pairs: list[tuple[str, str]]) -> None:
    body = ("{" + ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs) + "}").encode()
    repeats = len(dict(pairs)) < len(pairs)
    assert may_repeat_keys(body, dict(pairs)) or not repeats


@given(st.binary(max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_bytes_break_the_protobuf_decoder(data: bytes) -> None:
    head = encode({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}})
    for body in (b"k8s\0" + data, head[:-4] + data, data):
        with contextlib.suppress(BadRequest):
            decode(body)


def test_bombs_are_refused() -> None:
    kind = ("", "v1", "ConfigMap")
    deep = b'{"data":' + b'{"a":' * 500 + b"1" + b"}" * 501
    with pytest.raises(BadRequest, match="exceeded max depth"):
        decode_body(deep, "application/json", kind)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 9)]
    with pytest.raises(BadRequest, match="excessive aliasing"):
        decode_body("\n".join(lines).encode(), "application/yaml", kind)
    with pytest.raises(BadRequest, match="itself|recursive"):
        decode_body(b"a: &a [*a]", "application/yaml", kind)


def test_broken_characters_are_replaced() -> None:
    obj = decode_body(b'{"data":{"a":"\\ud800","b":"\xff"}}', "application/json", ("", "v1", "ConfigMap"))
    assert obj["data"] == {"a": "\ufffd", "b": "\ufffd"}


@given(st.from_regex(r"\A[+-]?[0-9]{1,4}(\.[0-9]{1,3})?(n|u|m|k|M|G|Ki|Mi|Gi|e[0-9])?\Z"))
@settings(max_examples=100, deadline=None)
def test_a_canonical_quantity_comes_to_rest_and_keeps_its_amount(text: str) -> None:
    # Not at once: `62.5Ki` is `64000`, as the suffix does not fit, and that is `64k`.
    once = canonical_quantity(text)
    twice = canonical_quantity(once)
    assert canonical_quantity(twice) == twice
    assert parse_quantity(twice) == parse_quantity(once)


def test_messages_may_be_written_by_name() -> None:
    assert canonical_kind({"name": "c"}, "k8s.io.api.core.v1.Container") == {"name": "c", "resources": {}}
