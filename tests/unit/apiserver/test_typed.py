"""What is said of applied configurations that do not fit their kind's schema, and of those that are no YAML."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.registry.fieldset import members
from apiserver.registry.patch_bodies import read_configuration, read_patch
from apiserver.registry.typed import _errors, _fits, typed_errors
from machinery.api.errors import BadRequest
from machinery.api.resource import Object
from machinery.api.resources import DEPLOYMENTS, SERVICES
from machinery.api.schema import definition
from machinery.client.client import PatchType


def pod(**spec: object) -> Object:
    return {"spec": {"template": {"spec": spec}}}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"spec": {"replicas": 2, "paused": True, "selector": None}}, ""),
        ({"foo": 1}, ".foo: field not declared in schema"),
        ({"spec": {"replicas": "x"}}, ".spec.replicas: expected numeric (int or float), got string"),
        ({"spec": {"paused": "x"}}, ".spec.paused: expected boolean, got &{x}"),
        ({"spec": "x"}, ".spec: expected map, got &{x}"),
        ({"metadata": {"labels": {"a": 1}}},
         ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}"),
        ({"metadata": {"labels": {"a": 10**20}}},
         ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:100000000000000000000}"),
        ({"metadata": {"labels": {"a": {"b": ["c"]}}}},
         '.metadata.labels.a: expected string, got &value.valueUnstructured{Value:map[string]interface {}{"b":'
         '[]interface {}{"c"}}}'),
        (pod(containers={"a": "b"}), ".spec.template.spec.containers: expected list, got &{map[a:b]}"),
        (pod(containers=[{"name": "a"}, {"name": "a"}]),
         '.spec.template.spec.containers: duplicate entries for key [name="a"]'),
        (pod(containers=[{"image": "a"}]),
         '.spec.template.spec.containers: element 0: associative list with keys has an element that omits all key '
         'fields ["name"] (and doesn\'t have default values for any key fields)'),
        (pod(containers=["a"]),
         ".spec.template.spec.containers: element 0: associative list with keys may not have non-map elements"),
        (pod(containers=[{"name": "a", "command": [1]}]),
         '.spec.template.spec.containers[name="a"].command[0]: expected string, got '
         "&value.valueUnstructured{Value:1}"),
        ({"spec": {"replicas": "x", "paused": 1}},
         "errors:\n  .spec.replicas: expected numeric (int or float), got string\n"
         "  .spec.paused: expected boolean, got &{1}"),
    ],
)  # fmt: skip
def test_a_configuration_is_held_to_its_schema(config: Object, said: str) -> None:
    schema = definition(DEPLOYMENTS)
    assert schema is not None
    assert typed_errors(config, schema) == said


def test_ports_and_quantities_may_be_numbers_or_texts() -> None:
    schema = definition(SERVICES)
    assert schema is not None
    ports = [{"port": 1, "targetPort": 80}, {"port": 2, "targetPort": "http"}]
    assert typed_errors({"spec": {"ports": ports}}, schema) == ""
    limits = {"cpu": 1, "memory": "1Gi"}
    deployment = definition(DEPLOYMENTS)
    assert deployment is not None
    assert typed_errors(pod(containers=[{"name": "a", "resources": {"limits": limits}}]), deployment) == ""


_SERVICE: Object = {
    "kind": "Service", "apiVersion": "v1", "metadata": {"name": "a", "labels": {"a": "b"}, "finalizers": ["a", "b"]},
    "spec": {"ports": [{"port": 1}, {"port": 2, "protocol": "UDP"}], "ipFamilies": ["IPv4"], "selector": {"a": "b"},
             "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1}}, "publishNotReadyAddresses": True},
}  # fmt: skip
_ODD = st.sampled_from([None, "x", 1, 1.5, True, {}, [], [None], ["a", "a"], {"port": 1}, [{"port": 1}, {"port": 1}]])


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Each map or list in the value with each of its keys."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


@given(st.data())
def test_what_is_passed_without_words_has_nothing_against_it(data: st.DataObject) -> None:
    config = copy.deepcopy(_SERVICE)
    for _ in range(data.draw(st.integers(0, 3))):
        within, key = data.draw(st.sampled_from(_places(config)))
        within[key] = copy.deepcopy(data.draw(_ODD))
    schema = definition(SERVICES)
    assert schema is not None
    assert schema.compiled(_fits)(config) is (not list(_errors(config, schema, "")))


_NO_OBJECT = "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[1]", f"{_NO_OBJECT} array into Go value of type map[string]interface {{}}"),
        (b"7", f"{_NO_OBJECT} number into Go value of type map[string]interface {{}}"),
        (b"a: b: c",
         "error decoding YAML: error converting YAML to JSON: yaml: line 1: mapping values are not allowed in this "
         "context"),
    ],
)  # fmt: skip
def test_what_is_no_configuration_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_configuration(body)
    assert refused.value.message == said


def test_keys_that_stand_twice_are_complained_of() -> None:
    assert read_configuration(b"a: 1\na: 2\n").complaints == ('line 2: key "a" already set in map',)
    assert read_patch(b'{"a":{"b":1,"b":2}}', PatchType.MERGE, validates=True).complaints == ('duplicate field "a.b"',)
    operations = b'[{"op":"add","op":"add","path":"/a","x":1}]'
    assert read_patch(operations, PatchType.JSON, validates=True).complaints == (
        'json patch duplicate field "[0].op"', 'json patch unknown field "[0].x"',
    )  # fmt: skip
    assert read_patch(operations, PatchType.JSON, validates=False).complaints == ()


@pytest.mark.parametrize(
    ("kind", "body", "validates", "said"),
    [
        (PatchType.JSON, b"{}", True,
         "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        (PatchType.JSON, b"{}", False, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (PatchType.JSON, b'[{"op":"add","path":7}]', True,
         "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.path of type string"),
        (PatchType.MERGE, b"[]", True,
         "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (PatchType.MERGE, b"{", True, "error decoding patch: unexpected end of JSON input"),
        (PatchType.MERGE, b"{", False, "Invalid JSON Patch"),
        (PatchType.MERGE, b"null", True, "Invalid JSON Patch"),
        (PatchType.STRATEGIC, b"", True, "unexpected end of JSON input"),
        (PatchType.STRATEGIC, b'"x"', True,
         "json: cannot unmarshal string into Go value of type map[string]interface {}"),
    ],
)  # fmt: skip
def test_what_is_no_patch_is_refused(kind: PatchType, body: bytes, validates: bool, said: str) -> None:  # noqa: FBT001
    with pytest.raises(BadRequest) as refused:
        read_patch(body, kind, validates=validates)
    assert refused.value.message == said


def test_members_of_one_level_come_before_what_lies_below() -> None:
    assert list(members({"f:a": {"f:b": {}}, "f:z": {}})) == [".z", ".a.b"]
