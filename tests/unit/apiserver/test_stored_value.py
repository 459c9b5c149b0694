"""What may lie under a key, and what is shown of it: the object as Go would have read it, or nothing and why."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from apiserver.kinds.rules import rules_for
from apiserver.registry import strategy
from apiserver.stored_value import UnreadableError, names_of, readable, row_of
from machinery.api.canonical import canonical
from machinery.api.protobuf import encode
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    CONFIG_MAPS,
    HORIZONTAL_POD_AUTOSCALERS,
    HORIZONTAL_POD_AUTOSCALERS_V1,
    PODS,
    RESOURCES,
)
from tests.contract.examples_of_kinds import example

STORED = [row for row in RESOURCES if row.is_stored and row.stored_as is None]
POD = "/registry/pods/default/p"


def key_of(row: Resource, name: str) -> str:
    return f"/registry/{row.storage_prefix}/{'default/' if row.namespaced else ''}{name}"


def written(row: Resource) -> bytes:
    """The example as a server stores it."""
    obj = example(row)
    if row.namespaced:
        obj["metadata"]["namespace"] = "default"
    obj["metadata"]["uid"] = "its-own"
    made = canonical(obj, row)
    rules_for(row).default(made)
    return strategy.encode(canonical(made, row))


@pytest.mark.parametrize("row", STORED, ids=lambda row: row.qualified)
def test_what_a_server_wrote_is_taken_as_it_is(row: Resource) -> None:
    value = written(row)
    key = key_of(row, example(row)["metadata"]["name"])
    assert readable(key, value) is value
    assert row_of(key) == row


def pod(**parts: Any) -> Object:
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "default"}, "spec": {}, **parts}


UNREADABLE: list[tuple[str, bytes, str]] = [
    (POD, b"\xff\xfe", "it is no JSON"),
    (POD, b"", "it is no JSON"),
    (POD, b"[]", "it is no object"),
    (POD, b"k8s\0\xff", "unable to decode the protobuf body"),
    (POD, b'{"kind":"Pod"}', 'no kind "Pod" is registered for version "None"'),
    (POD, orjson.dumps(pod(apiVersion="v9")), 'no kind "Pod" is registered for version "v9"'),
    (POD, orjson.dumps(pod(kind="ConfigMap")), 'no kind "ConfigMap"'),
    (POD, orjson.dumps(pod(metadata=[])), "cannot unmarshal array"),
    (POD, orjson.dumps(pod(metadata="x")), "its metadata is no object"),
    (POD, orjson.dumps(pod(metadata={"name": "q"})), 'its name is "q", not that of its key'),
    (POD, orjson.dumps(pod(metadata={"namespace": "q"})), 'its namespace is "q", not that of its key'),
    (POD, orjson.dumps(pod(spec="x")), "cannot unmarshal string into Go struct field Pod.spec"),
    (POD, orjson.dumps(pod(spec={"containers": {}})), "cannot unmarshal object"),
    (
        POD,
        orjson.dumps(pod(spec={"containers": [{"resources": {"limits": {"cpu": "much"}}}]})),
        "quantities",
    ),
    (POD, orjson.dumps(pod(metadata={"labels": {"a": 1}})), "cannot unmarshal number"),
    (POD, orjson.dumps(pod(metadata={"deletionTimestamp": "soon"})), "parsing time"),
    (POD, b'{"kind":"Pod","apiVersion":"v1","spec":' + b'{"a":' * 300 + b"1" + b"}" * 301, "it nests too deep"),
    ("/registry/pods/p", orjson.dumps(pod()), "its key is none of this kind"),
    ("/registry/minions/a/b", b'{"kind":"Node","apiVersion":"v1"}', "its key is none of this kind"),
    ("/registry/minions/a", b'{"kind":"Node","apiVersion":"v1","metadata":{"namespace":"x"}}', "names a namespace"),
]


@pytest.mark.parametrize(("key", "value", "why"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_go_could_not_read_is_not_shown(key: str, value: bytes, why: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        readable(key, value)
    assert why in str(refused.value)


def test_nulls_and_what_is_missing_become_what_go_would_have_read() -> None:
    value = orjson.dumps({"kind": "Pod", "apiVersion": "v1", "metadata": {"labels": None}, "spec": {"volumes": [None]}})
    shown = orjson.loads(readable(POD, value))
    assert shown["metadata"].pop("uid") == orjson.loads(readable(POD, value))["metadata"]["uid"]
    assert shown["metadata"] == {"name": "p", "namespace": "default"}
    assert shown["spec"]["containers"] is None
    assert (shown["spec"]["volumes"], shown["spec"]["restartPolicy"]) == ([{"name": "", "emptyDir": {}}], "Always")


def test_managed_fields_that_make_no_sense_are_none() -> None:
    value = written(PODS).replace(
        b'"metadata":{',
        b'"metadata":{"managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsV1":{"f:a":1}}],',
    )
    key = key_of(PODS, example(PODS)["metadata"]["name"])
    assert "managedFields" not in orjson.loads(readable(key, value))["metadata"]


def test_upstreams_protobuf_and_other_served_versions_are_read() -> None:
    made = {**example(CONFIG_MAPS), "data": {"a": "b"}}
    shown = orjson.loads(readable(key_of(CONFIG_MAPS, "a-configmap"), encode(made)))
    assert shown["data"] == {"a": "b"}
    older = canonical(example(HORIZONTAL_POD_AUTOSCALERS_V1), HORIZONTAL_POD_AUTOSCALERS_V1)
    key = key_of(HORIZONTAL_POD_AUTOSCALERS, "a-horizontalpodautoscaler")
    assert orjson.loads(readable(key, orjson.dumps(older)))["apiVersion"] == "autoscaling/v2"


def test_custom_resources_are_left_as_they_are() -> None:
    key, value = "/registry/example.com/things/default/a", b'{"kind":"Thing"}'
    assert readable(key, value) == value
    assert names_of(key) == ("default", "a")
