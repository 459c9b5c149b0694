"""Continue tokens, rules of list options, conversions and scale: the registry's small pure parts."""

from __future__ import annotations

import pytest

from apiserver.registry.conversion import from_stored, to_stored
from apiserver.registry.lists import ListOptions, check_options, read_token, write_token
from apiserver.registry.metadata import validate
from apiserver.registry.scale import scale_of, scaled
from apiserver.registry.selection import field_value, selection
from machinery.api.errors import BadRequest, Conflict, Invalid
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS_V1,
    JOBS,
    NODES,
    PERSISTENT_VOLUMES,
)


def test_a_continue_token_comes_back_as_it_was() -> None:
    assert read_token(write_token(7, "default/a\0")) == (7, "default/a\0")
    assert read_token(write_token(-1, "a")) == (-1, "a")


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("zzz", r"invalid character '\xcf' looking for beginning of value"),
        ("ab=", "illegal base64 data at input byte 2"),
        ("e30", "server does not recognize this encoded version "),
        ("Mw", "json: cannot unmarshal number into Go value of type storage.continueToken"),
        (write_token(0, "a"), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (write_token(3, ""), "encoded start key empty (version meta.k8s.io/v1)"),
        (write_token(3, "../a"), "../a"),
    ],
)
def test_a_token_of_somebody_else_is_refused(token: str, said: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_token(token)
    assert refused.value.message == f"invalid continue token: continue key is not valid: {said}"


@pytest.mark.parametrize(
    ("resource", "fields", "said"),
    [
        (JOBS, "status.active=1", 'field label "status.active" not supported for Job'),
        (NODES, "metadata.namespace=a", "field label not supported: metadata.namespace"),
        (EVENTS_V1, "involvedObject.kind=Pod", "field label not supported: involvedObject.kind"),
        (PERSISTENT_VOLUMES, "name=a",
         '"name" is not a known field selector: only "metadata.name", "metadata.namespace"'),
    ],
)  # fmt: skip
def test_a_field_that_is_not_selectable_is_refused_in_the_kinds_words(
    resource: Resource, fields: str, said: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        selection(resource, "", fields)
    assert refused.value.message == said


@pytest.mark.parametrize(
    ("obj", "path", "value"),
    [
        ({"status": {"succeeded": 2}}, "status.successful", "2"),
        ({"status": {}}, "status.successful", "0"),
        ({"spec": {"nodeName": "n"}}, "spec.host", "n"),
        ({"involvedObject": {"kind": "Pod"}}, "regarding.kind", "Pod"),
        ({"reportingComponent": "c"}, "reportingController", "c"),
        ({"status": {"podIPs": [{"ip": "10.0.0.1"}]}}, "status.podIPs", ""),
        ({"spec": {}}, "spec.hostNetwork", "false"),
    ],
)
def test_a_selected_field_is_read_where_it_is_stored(obj: Object, path: str, value: str) -> None:
    assert field_value(obj, path) == value


@pytest.mark.parametrize(
    ("options", "is_watch", "said"),
    [
        (ListOptions(resource_version_match="Exact"), False, "unless resourceVersion is provided"),
        (ListOptions(resource_version_match="Exact", resource_version="0"), False, "is forbidden for resourceVersion"),
        (ListOptions(resource_version_match="Any", resource_version="1"), False, "Unsupported value"),
        (ListOptions(send_initial_events=True), False, "forbidden for list"),
        (ListOptions(send_initial_events=True), True, "requires setting resourceVersionMatch"),
        (ListOptions(resource_version_match="NotOlderThan"), True, "for watch unless sendInitialEvents"),
        (ListOptions(send_initial_events=True, resource_version_match="Exact"), True,
         'sendInitialEvents requires .*, resourceVersionMatch: Unsupported value: "Exact"'),
        (ListOptions(send_initial_events=True, resource_version_match="Exact"), False,
         "unless resourceVersion is provided, sendInitialEvents: Forbidden"),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other_are_refused(options: ListOptions, is_watch: bool, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        check_options(options, is_watch=is_watch)


def test_options_that_go_together_pass() -> None:
    check_options(ListOptions(send_initial_events=True, resource_version_match="NotOlderThan"), is_watch=True)
    check_options(ListOptions(resource_version="5", resource_version_match="Exact"), is_watch=False)


def test_an_event_has_two_vocabularies() -> None:
    new: Object = {"kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": {"name": "e"}, "note": "said",
                   "regarding": {"kind": "Pod"}, "reportingController": "c", "deprecatedCount": 2}  # fmt: skip
    stored = to_stored(new, EVENTS_V1)
    assert (stored["apiVersion"], stored["message"], stored["involvedObject"]) == ("v1", "said", {"kind": "Pod"})
    assert (stored["count"], stored["reportingComponent"]) == (2, "c")
    assert from_stored(stored, EVENTS_V1) == new


def test_a_scale_shows_and_sets_the_replicas() -> None:
    deployment: Object = {
        "metadata": {"name": "d", "namespace": "n", "uid": "u", "resourceVersion": "3"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"b": "c", "a": "b"}}},
        "status": {"replicas": 1},
    }
    scale = scale_of(deployment, DEPLOYMENTS)
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 1, "selector": "a=b,b=c"}
    written = scaled({"metadata": {"name": "d"}, "spec": {"replicas": 0}}, DEPLOYMENTS)(deployment)
    assert written["spec"]["replicas"] == 0
    with pytest.raises(Invalid, match="must be greater than or equal to 0"):
        scaled({"metadata": {"name": "d"}, "spec": {"replicas": -1}}, DEPLOYMENTS)(deployment)
    with pytest.raises(BadRequest, match="namespace of the provided object does not match"):
        scaled({"metadata": {"name": "d", "namespace": "other"}}, DEPLOYMENTS)(deployment)
    with pytest.raises(Conflict, match="on deployments/scale.apps .*: Precondition failed: UID"):
        scaled({"metadata": {"name": "d", "uid": "v"}}, DEPLOYMENTS, is_patch=True)(deployment)


@pytest.mark.parametrize(
    ("metadata", "resource", "field"),
    [
        ({"name": "Upper", "namespace": "a"}, CONFIG_MAPS, "metadata.name"),
        ({"namespace": "a"}, CONFIG_MAPS, "metadata.name"),
        ({"name": "n"}, CONFIG_MAPS, "metadata.namespace"),
        ({"name": "n", "namespace": "a"}, NODES, "metadata.namespace"),
        ({"name": "n", "labels": {"a b": "c"}}, NODES, "metadata.labels"),
        ({"name": "n", "annotations": {"a": "x" * 300_000}}, NODES, "metadata.annotations"),
        ({"name": "n", "finalizers": ["bare"]}, NODES, "metadata.finalizers[0]"),
        ({"name": "n", "ownerReferences": [{"kind": "K", "name": "n", "apiVersion": "v1"}]}, NODES,
         "metadata.ownerReferences.uid"),
    ],
)  # fmt: skip
def test_wrong_metadata_is_named_by_its_field(metadata: Object, resource: object, field: str) -> None:
    assert [cause.field for cause in validate(metadata, resource)] == [field]  # type: ignore[arg-type]
