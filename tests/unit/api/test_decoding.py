"""Bodies, canonical form, protobuf and patches, held against what a real API server answered (`tests/exchanges`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from machinery.api import yaml_body
from machinery.api.canonical import canonical
from machinery.api.decoding import check_types, decode_body, decode_strict, strict_error
from machinery.api.errors import BadRequest, UnknownError, UnsupportedMediaType
from machinery.api.protobuf import decode, encode
from machinery.api.resource import Object, Resource
from machinery.api.resources import BY_KIND, BY_PATH, CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES
from machinery.api.strategic import strategic_merge
from machinery.api.type_errors import as_restored

EXCHANGES = Path(__file__).parents[2] / "exchanges"
JSON = "application/json"


def recorded(name: str) -> list[dict[str, Any]]:
    # Masked times and ports must be times and ports again.
    text = (EXCHANGES / name).read_text().replace("<time>", "2026-01-01T00:00:00Z").replace("<age>", "100m")
    rows: list[dict[str, Any]] = json.loads(text.replace('"nodePort":"<x>"', '"nodePort":30000'))
    return rows


def answered_objects() -> Iterator[tuple[Object, Resource]]:
    """Every object of a built-in kind that the server answered, once."""

    def found(value: Any) -> Iterator[tuple[Object, Resource]]:
        if isinstance(value, dict):
            group, _, version = str(value.get("apiVersion", "")).rpartition("/")
            resource = BY_KIND.get((group, version, value.get("kind", "")))
            if resource and "uid" in value.get("metadata", {}):
                yield value, resource
                return
            for item in value.values():
                yield from found(item)
        elif isinstance(value, list):
            for item in value:
                yield from found(item)

    for path in sorted(EXCHANGES.glob("*.json")):
        for row in recorded(path.name):
            yield from found(row["answers"])


OBJECTS = [(obj, resource) for obj, resource in answered_objects() if "100m" not in json.dumps(obj)]


def test_what_a_server_answers_is_canonical_already() -> None:
    assert len(OBJECTS) > 100
    for obj, resource in OBJECTS:
        assert canonical(obj, resource) == obj


def test_objects_survive_protobuf() -> None:
    for obj, resource in OBJECTS:
        assert canonical(decode(encode(obj)), resource) == obj


def kind_of(resource: Resource) -> tuple[str, str, str]:
    return resource.group, resource.version, resource.kind


def resource_of(path: str) -> Resource:
    parts = path.partition("?")[0].strip("/").split("/")
    group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
    return BY_PATH[group, version, parts[-1]]


def bad_requests() -> Iterator[Any]:
    for row in recorded("invalid.json"):
        for step, answer in zip(row["steps"], row["answers"], strict=False):
            if answer and answer["code"] == 400 and step[0] == "POST" and "namespace of the" not in str(answer):
                yield pytest.param(step, answer["body"]["message"], id=row["name"])


@pytest.mark.parametrize(("step", "message"), list(bad_requests()))
def test_a_wrong_body_is_refused_in_the_words_of_the_server(step: list[Any], message: str) -> None:
    resource = resource_of(step[1])
    with pytest.raises(BadRequest) as raised:
        check_types(decode_body(json.dumps(step[2]).encode(), JSON, kind_of(resource)), resource)
    assert raised.value.message == message


def test_strict_errors_are_the_servers() -> None:
    (row,) = recorded("strict.json")
    body = row["steps"][0][2].encode()
    found = decode_strict(body, JSON, kind_of(CONFIG_MAPS))
    obj, errors = found.obj, found.complaints
    assert strict_error("ConfigMap", "v1", errors).message == row["answers"][0]["body"]["message"]
    assert row["answers"][1]["warnings"] == [f"299 - {json.dumps(error)}" for error in errors]
    assert obj["data"] == {"k": "2"}


def test_unknown_fields_are_told_with_their_path() -> None:
    body = b'{"spec":{"containers":[{"name":"c","imagePolicy":"x"}],"nope":1},"extra":{}}'
    assert decode_strict(body, JSON, kind_of(PODS)).complaints == [
        'unknown field "spec.containers[0].imagePolicy"',
        'unknown field "spec.nope"',
        'unknown field "extra"',
    ]


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            {"replicas": "3"},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"replicas": 1.5},
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"template": {"spec": {"hostname": 1}}},
            "json: cannot unmarshal number into Go struct field PodSpec.spec.template.spec.hostname of type string",
        ),
        (
            {"template": {"spec": {"restartPolicy": 1}}},
            "json: cannot unmarshal number into Go struct field PodSpec.spec.template.spec.restartPolicy"
            " of type v1.RestartPolicy",
        ),
        (
            {"selector": {"matchLabels": {"a": 1}}},
            "json: cannot unmarshal number into Go struct field LabelSelector.spec.selector.matchLabels of type string",
        ),
        (
            {"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "x"}}}]}}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ],
)  # fmt: skip
def test_types_are_checked_in_gos_words(spec: Object, complaint: str) -> None:
    obj = {"kind": "Deployment", "apiVersion": "apps/v1", "spec": spec}
    for check in (check_types, canonical):
        with pytest.raises(BadRequest) as raised:
            check(obj, DEPLOYMENTS)
        assert raised.value.message == f'Deployment in version "v1" cannot be handled as a Deployment: {complaint}'


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b"{", "unexpected end of JSON input ({)"),
        (b"{x", "invalid character 'x' looking for beginning of object key string ({x)"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string ({\"a\":1,})"),
        (b'{"a" 1}', "invalid character '1' after object key ({\"a\" 1})"),
        (b'{"a":nul}', "invalid character '}' in literal null (expecting 'l') ({\"a\":nul})"),
    ],
)
def test_what_is_no_json_is_explained_as_go_does(body: bytes, complaint: str) -> None:
    with pytest.raises(BadRequest) as raised:
        decode_body(body, JSON, kind_of(DEPLOYMENTS))
    prefix = (
        "the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error:"
    )
    assert raised.value.message == f"{prefix} {complaint}"


def test_yaml_is_read_as_go_reads_it() -> None:
    body = b"data:\n  a: on\n  b: 12:30\n  c: 2020-01-01\n  d: 0x10\n  e: 1e3\n  f: ~\n  1: x\n"
    obj = decode_body(body, "application/yaml", kind_of(CONFIG_MAPS))
    assert obj["data"] == {"a": True, "b": "12:30", "c": "2020-01-01", "d": 16, "e": 1000, "f": None, "1": "x"}
    errors = decode_strict(b"data:\n  k: a\n  k: b\n", "application/yaml", kind_of(CONFIG_MAPS)).complaints
    assert errors == ['yaml: unmarshal errors:\n  line 3: key "k" already set in map']


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), _values, max_size=4))
def test_json_under_yamls_name_is_what_yaml_reads(value: Object) -> None:
    body = orjson.dumps(value)
    try:
        read, complaints = yaml_body.load(body)
    except yaml.YAMLError:
        with pytest.raises(BadRequest):
            decode_body(body, "application/yaml", None)
    else:
        assert not complaints
        again = decode_body(body, "application/yaml", None)
        assert repr(again) == repr(read)


@pytest.mark.parametrize("media", ["text/plain", "text/yaml", "application/merge-patch+json", "*/*"])
def test_other_media_are_refused(media: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        decode_body(b"{}", media, kind_of(CONFIG_MAPS))


def test_kind_and_version_are_taken_from_the_request_where_the_body_has_none() -> None:
    assert decode_body(b"{}", JSON, kind_of(DEPLOYMENTS)) == {"kind": "Deployment", "apiVersion": "apps/v1"}


def test_canonical_form_keeps_zeros_that_are_set_and_drops_those_that_are_not() -> None:
    written = canonical(
        {
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "metadata": {"name": "d", "labels": {}, "creationTimestamp": None},
            "spec": {
                "replicas": 0,
                "paused": False,
                "unknown": 1,
                "template": {"spec": {"containers": [{"name": "c"}]}},
            },
        },
        DEPLOYMENTS,
    )
    assert written == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 0,
            "selector": None,
            "template": {"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]}},
            "strategy": {},
        },
        "status": {},
    }


def strategic_patches() -> Iterator[Any]:
    for row in recorded("patch.json"):
        if row["name"].startswith("patch/strategic"):
            yield pytest.param(row["answers"][0]["body"], row["steps"][1][2], row["answers"][1]["body"], id=row["name"])


def essence(obj: Object) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ("managedFields", "generation")}
    return {**obj, "metadata": metadata}


@pytest.mark.parametrize(("before", "patch", "after"), list(strategic_patches()))
def test_strategic_patches_do_what_the_server_did(before: Object, patch: Object, after: Object) -> None:
    assert essence(canonical(strategic_merge(before, patch, DEPLOYMENTS), DEPLOYMENTS)) == essence(after)


@pytest.mark.parametrize(
    ("doc", "patch", "merged"),
    [
        ([{"port": 1}, {"port": 2}], [{"port": 2, "name": "b"}], [{"port": 1}, {"port": 2, "name": "b"}]),
        ([{"port": 1}, {"port": 2}], [{"port": 1, "$patch": "delete"}], [{"port": 2}]),
        ([{"port": 1}], [{"$patch": "replace"}, {"port": 3}], [{"port": 3}]),
        ([], [{"port": 3, "$patch": "delete"}], []),
    ],
)
def test_lists_are_merged_by_key(doc: list[Any], patch: list[Any], merged: list[Any]) -> None:
    assert strategic_merge({"spec": {"ports": doc}}, {"spec": {"ports": patch}}, SERVICES) == {
        "spec": {"ports": merged}
    }


def test_a_list_item_without_its_key_is_refused() -> None:
    with pytest.raises(UnknownError, match=r"map: map\[name:x\] does not contain declared merge key: port"):
        strategic_merge({"spec": {"ports": [{"port": 1}]}}, {"spec": {"ports": [{"name": "x"}]}}, SERVICES)


def test_a_directive_changes_nothing_where_nothing_is() -> None:
    patch = {"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}, "paused": True, "selector": None}}
    assert strategic_merge({"spec": {}}, patch, DEPLOYMENTS) == {"spec": {"paused": True}}
    assert strategic_merge({}, {"spec": {"ports": [{"$patch": "delete", "port": 1}]}}, SERVICES) == {
        "spec": {"ports": []}
    }


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({"$patch": "fly"}, "unknown patch type: fly in map: map[$patch:fly]"),
        ({"$patch": 7}, "unknown patch type: %!s(int64=7) in map: map[$patch:7]"),
        ({"spec": {"$setElementOrder/ports": 7}}, "expected a []interface {}, but received a int64"),
        ({"spec": {"ports": [{"port": 1, "$patch": "merge"}]}},
         "merging lists cannot yet be specified in the patch"),
        ({"spec": {"ports": ["x"]}}, "list element types are not identical: [[map[port:1]] [x]]"),
        ({"spec": {"ports": [{"port": 2}, {"port": 1}], "$setElementOrder/ports": [{"port": 1}, {"port": 2}]}},
         "The order in patch list:\n[map[port:2] map[port:1]]\n doesn't match $setElementOrder list:\n"
         "[map[port:1] map[port:2]]\n"),
    ],
)  # fmt: skip
def test_a_strategic_patch_that_cannot_be_is_told_in_gos_words(patch: Object, said: str) -> None:
    with pytest.raises(UnknownError) as refused:
        strategic_merge({"spec": {"ports": [{"port": 1}]}}, patch, SERVICES)
    assert refused.value.message == said


@pytest.mark.parametrize(
    ("said", "restored"),
    [
        ("json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
         "unrecognized type: int32"),
        ("json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
         "cannot convert float64 to int32"),
        ("json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
         "cannot convert int64 to string"),
        ("json: cannot unmarshal bool into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
         "unrecognized type: string"),
        ("json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
         "cannot restore map from slice"),
        ("json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
         "cannot restore slice from map"),
        ("json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec",
         "cannot restore struct from: string"),
        ("illegal base64 data at input byte 0", "illegal base64 data at input byte 0"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_told_otherwise_after_a_strategic_merge(said: str, restored: str) -> None:
    assert as_restored(said) == restored


def test_retain_keys_drops_what_the_patch_does_not_name() -> None:
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    doc = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    assert strategic_merge(doc, patch, DEPLOYMENTS) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_options_may_name_any_group() -> None:
    options = ("meta.k8s.io", "v1", "DeleteOptions")
    for api_version in ("v1", "apps/v1", "meta.k8s.io/v1", "policy/v1beta1"):
        body = json.dumps({"kind": "DeleteOptions", "apiVersion": api_version, "gracePeriodSeconds": 0}).encode()
        assert decode_body(body, JSON, options)["gracePeriodSeconds"] == 0
    sent = encode({"kind": "DeleteOptions", "apiVersion": "apps/v1", "gracePeriodSeconds": 0})
    assert decode_body(sent, "application/vnd.kubernetes.protobuf", options)["gracePeriodSeconds"] == 0


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1"},
            "the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)",
        ),
        (
            {"kind": "Service", "apiVersion": "v1"},
            'Service in version "v1" cannot be handled as a HorizontalPodAutoscaler: '
            "converting (v1.Service) to (autoscaling.HorizontalPodAutoscaler): unknown conversion",
        ),
    ],
)
def test_another_kind_than_the_paths_is_refused(head: Object, message: str) -> None:
    with pytest.raises(BadRequest) as raised:
        decode_body(json.dumps(head).encode(), JSON, ("autoscaling", "v2", "HorizontalPodAutoscaler"))
    assert raised.value.message == message


def test_evictions_of_old_clients_are_taken() -> None:
    body = {"kind": "Eviction", "apiVersion": "policy/v1beta1", "metadata": {"name": "p"}}
    assert decode_body(json.dumps(body).encode(), JSON, ("policy", "v1", "Eviction"))["metadata"] == {"name": "p"}
