"""Rules of every object's metadata: what each wrong value is refused with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apiserver.kinds.rules import Rules, rules_for
from apiserver.registry import metadata, strategy
from machinery.api.errors import BadRequest, UnknownError
from machinery.api.resource import Object, Resource
from machinery.api.resources import BY_PATH
from tests.kind_rules import lines

CONFIG_MAPS = BY_PATH[("", "v1", "configmaps")]
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
QUALIFIED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    " (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({}, []),
        ({"generateName": "a-"}, []),
        ({"generateName": 'a"'}, [f'generateName: Invalid value: "a\\"": {SUBDOMAIN}']),
        ({"name": ""}, ["name: Required value: name or generateName is required"]),
        ({"namespace": ""}, ["namespace: Required value"]),
        ({"generation": 7}, []),
        ({"generation": -1}, ["generation: Invalid value: -1: must be greater than or equal to 0"]),
        ({"labels": {"-": "b"}, "annotations": {"C/": ""}},
         [f'labels: Invalid value: "-": name part {QUALIFIED}',
          'annotations: Invalid value: "C/": name part must be non-empty',
          f'annotations: Invalid value: "C/": name part {QUALIFIED}']),
        ({"annotations": {"a": "b" * (1 << 18)}}, ["annotations: Too long: may not be more than 262144 bytes"]),
        ({"ownerReferences": [{}, {**OWNER, "kind": "Event"}]},
         ['ownerReferences.apiVersion: Invalid value: "": version must not be empty',
          *(f'ownerReferences.{field}: Invalid value: "": must not be empty' for field in ("kind", "name", "uid")),
          'ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"p","uid":"u"}: /v1, Kind=Event is'
          " disallowed from being an owner"]),
        ({"ownerReferences": [{**OWNER, "controller": True}, {**OWNER, "controller": True}]},
         ['ownerReferences: Invalid value: [{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u","controller":true},'
          '{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u","controller":true}]: Only one reference can have'
          ' Controller set to true. Found "true" in references for Pod/p and Pod/p']),
        ({"finalizers": ["orphan", "foregroundDeletion", "mine"]},
         ['finalizers: Invalid value: ["orphan","foregroundDeletion","mine"]: finalizer orphan and foregroundDeletion'
          " cannot be both set",
          'finalizers[2]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified']),
    ],
)  # fmt: skip
def test_new_metadata(fields: Object, errors: list[str]) -> None:
    found = metadata.validate({"name": "x", "namespace": "n", **fields}, CONFIG_MAPS)
    assert lines(found) == [f"metadata.{error}" for error in errors]


def test_a_generation_that_nobody_counts_is_the_clients() -> None:
    counted = BY_PATH[("apps", "v1", "deployments")]
    for resource, generation in ((CONFIG_MAPS, 7), (counted, 1)):
        made: Object = {"metadata": {"name": "x", "generation": 7}}
        strategy.fill_new(made, resource, datetime(2026, 1, 2, tzinfo=UTC))
        assert made["metadata"]["generation"] == generation


@pytest.mark.parametrize(
    ("group", "version", "plural", "name", "is_sound"),
    [
        ("apps", "v1", "statefulsets", "a.b", False),
        ("apps", "v1", "deployments", "a.b", True),
        ("networking.k8s.io", "v1", "ipaddresses", "10.0.0.1", True),
        ("networking.k8s.io", "v1", "ipaddresses", "010.0.0.1", False),
        ("rbac.authorization.k8s.io", "v1", "clusterroles", "system:A", True),
        ("rbac.authorization.k8s.io", "v1", "clusterroles", "a/b", False),
        ("certificates.k8s.io", "v1", "certificatesigningrequests", "A/b", True),
    ],
)
def test_names_of_kinds(group: str, version: str, plural: str, name: str, *, is_sound: bool) -> None:
    row = BY_PATH[(group, version, plural)]
    made = {"name": name, "namespace": "n"} if row.namespaced else {"name": name}
    assert (metadata.validate(made, row) == []) == is_sound


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ('a": b', r'"a\": b": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
        ("010.0.0.1", '"010.0.0.1": must not have leading 0s'),
        ("::ffff:1.2.3.4", '"::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address'),
        ("2001:DB8::1", '"2001:DB8::1": must be in canonical form ("2001:db8::1")'),
    ],
)
def test_an_ip_address_is_named_by_its_one_form(name: str, message: str) -> None:
    found = metadata.validate({"name": name}, BY_PATH[("networking.k8s.io", "v1", "ipaddresses")])
    assert lines(found) == [f"metadata.name: Invalid value: {message}"]


def test_finalizers_of_users_kinds_need_no_domain() -> None:
    made = {"name": "x", "namespace": "n", "finalizers": ["mine"]}
    for row in (BY_PATH[("coordination.k8s.io", "v1", "leases")], Resource("g.io", "v1", "Service", "services")):
        assert metadata.validate(made, row) == []


def test_users_kinds_have_no_rules_of_ours() -> None:
    assert rules_for(Resource("g.io", "v1", "Service", "services")) == Rules()
    assert rules_for(Resource("g.io", "v1", "Rule", "rules")) == Rules()


def test_what_the_system_set_stays() -> None:
    old = {
        "name": "x",
        "namespace": "n",
        "uid": "1",
        "creationTimestamp": "c",
        "generation": 2,
        "deletionTimestamp": "d",
    }
    for new in ({"name": "x"}, {"name": "x", "creationTimestamp": "z", "generation": 9, "deletionTimestamp": "z"}):
        metadata.keep_on_update(new, old)
        assert new == old
    plain, asked = {"name": "x", "uid": "1"}, {"name": "x", "uid": "2", "generation": 9, "deletionTimestamp": "z"}
    metadata.keep_on_update(asked, plain)
    assert asked == {"name": "x", "uid": "2", "deletionTimestamp": "z"}


def test_what_an_update_may_not_change() -> None:
    old = {"name": "x", "namespace": "n", "uid": "1", "deletionTimestamp": "t", "finalizers": ["a/b"]}
    new = {"name": "x", "namespace": "n", "uid": "2", "finalizers": ["a/b", "a/c"]}
    assert lines(metadata.validate_update(new, old, CONFIG_MAPS)) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new"
        ' finalizers []string{"a/c"}',
        'metadata.uid: Invalid value: "2": field is immutable',
        "metadata.deletionTimestamp: Invalid value: null: field is immutable",
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "x"}, ""),
        ({"name": "y"}, "the name of the object (y) does not match the name on the URL (x)"),
        ({}, "the name of the object (x based on URL) was undeterminable: name must be provided"),
    ],
)
def test_an_object_is_named_as_its_path(fields: Object, message: str) -> None:
    try:
        metadata.check_name(fields, "x")
    except BadRequest as error:
        assert error.message == message
    else:
        assert message == ""


@pytest.mark.parametrize(("version", "is_sound"), [("", True), ("0", True), ("x", True), ("7", False)])
def test_what_was_stored_before_is_not_created(version: str, *, is_sound: bool) -> None:
    try:
        metadata.check_unstored({"resourceVersion": version})
    except UnknownError as error:
        assert (error.message, is_sound) == ("resourceVersion should not be set on objects to be created", False)
    else:
        assert is_sound


def test_an_owner_is_told_once() -> None:
    other = {**OWNER, "kind": "Node"}
    told = {"ownerReferences": [OWNER, other, {**OWNER}]}
    assert metadata.repeated_owners(told) == ["u"]
    assert told == {"ownerReferences": [OWNER, other]}
    assert metadata.repeated_owners(told) == []


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (("apps", "v1", "deployments"), {"annotations", "finalizers", "ownerReferences"}),
        (("", "v1", "pods"), {"labels", "annotations", "finalizers"}),
        (("batch", "v1", "jobs"), {"labels", "annotations", "finalizers", "ownerReferences"}),
        (("flowcontrol.apiserver.k8s.io", "v1", "flowschemas"), set()),
        (("g.io", "v1", "things"), set()),
    ],
)
def test_what_a_status_brings_along(row: tuple[str, str, str], fields: set[str]) -> None:
    resource = BY_PATH.get(row) or Resource(row[0], row[1], "Thing", row[2])
    old = {"metadata": {"name": "x"}, "spec": {"a": 1}, "status": {"b": 1}}
    brought = {"labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["a/b"], "ownerReferences": [OWNER]}
    written = strategy.prepare_status_update(
        {"metadata": {"name": "x", **brought}, "spec": {"a": 2}, "status": {"b": 2}},
        old,
        resource,
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert written == {**old, "metadata": {"name": "x", **{key: brought[key] for key in fields}}, "status": {"b": 2}}
