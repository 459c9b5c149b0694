"""kubectl's way from client-side to server-side apply: its fields are no conflict while nobody else changed them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from apiserver.registry.apply import applied
from apiserver.registry.call import Call
from apiserver.registry.last_applied import ANNOTATION, told
from apiserver.request import Target, User
from machinery.api.errors import Conflict
from machinery.api.resource import Object
from machinery.api.resources import CONFIG_MAPS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def config(**data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data}


def applied_by_client(last: Object, **data: str) -> Object:
    """As it stands after `kubectl apply`, and after others have made `data` of it."""
    fields = {"f:data": {".": {}, **{f"f:{key}": {} for key in data}}}
    entry = {
        "manager": "kubectl-client-side-apply",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
    }
    metadata = {
        "name": "c",
        "namespace": "n",
        "annotations": {ANNOTATION: json.dumps(last)},
        "managedFields": [{**entry, "fieldsType": "FieldsV1", "fieldsV1": fields}],
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def apply(live: Object, wanted: Object, manager: str = "kubectl") -> Object:
    call = Call(User("u"), "patch", Target(CONFIG_MAPS, "n", "c"), field_manager=manager)
    return applied(call, wanted, NOW, force=False)(live)


def test_kubectl_takes_over_what_it_once_applied() -> None:
    live = applied_by_client(config(a="1"), a="1")
    after = apply(live, config(a="2"))
    assert after["data"] == {"a": "2"}
    assert json.loads(after["metadata"]["annotations"][ANNOTATION]) == config(a="2")


def test_what_others_changed_since_is_a_conflict() -> None:
    live = applied_by_client(config(a="1", b="1"), a="1", b="changed")
    with pytest.raises(Conflict) as error:
        apply(live, config(a="2", b="2"))
    assert [cause.field for cause in error.value.causes] == [".data.b"]


@pytest.mark.parametrize("manager", ["other", "kubectl-client"])
def test_other_managers_take_nothing_over(manager: str) -> None:
    with pytest.raises(Conflict):
        apply(applied_by_client(config(a="1"), a="1"), config(a="2"), manager)


@pytest.mark.parametrize("last", ["", "no JSON", "[]", '{"apiVersion":"v2"}'])
def test_an_annotation_that_says_nothing_concedes_nothing(last: str) -> None:
    live = applied_by_client(config(), a="1")
    live["metadata"]["annotations"][ANNOTATION] = last
    with pytest.raises(Conflict):
        apply(live, config(a="2"))


def test_the_annotation_is_written_as_go_writes_it_and_not_within_itself() -> None:
    wanted = config(a="<b> & ü")
    wanted["metadata"]["annotations"] = {ANNOTATION: "old", "other": "x"}
    value = {"metadata": {"annotations": {ANNOTATION: "old"}}}
    text = told(value, wanted)["metadata"]["annotations"][ANNOTATION]
    assert text == (
        '{"apiVersion":"v1","data":{"a":"\\u003cb\\u003e \\u0026 ü"},"kind":"ConfigMap",'
        '"metadata":{"annotations":{"other":"x"},"name":"c","namespace":"n"}}\n'
    )


def test_without_an_annotation_none_is_written() -> None:
    assert told(config(a="1"), config(a="2")) == config(a="1")
