"""Rules of every object's metadata: what each wrong value is refused with."""

from __future__ import annotations

import pytest

from apiserver.kinds.rules import Rules, rules_for
from apiserver.registry import metadata
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


def test_what_an_update_may_not_change() -> None:
    old = {"name": "x", "namespace": "n", "uid": "1", "deletionTimestamp": "t", "finalizers": ["a/b"]}
    new = {"name": "x", "namespace": "n", "uid": "2", "finalizers": ["a/b", "a/c"]}
    assert lines(metadata.validate_update(new, old, CONFIG_MAPS)) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new"
        ' finalizers []string{"a/c"}',
        'metadata.uid: Invalid value: "2": field is immutable',
        "metadata.deletionTimestamp: Invalid value: null: field is immutable",
    ]
