"""Rules of flow control, leases and revisions: what each wrong value is refused with."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from apiserver.kinds.rules import Rules
from machinery.api.resource import Object
from tests.kind_rules import lines, on_create, on_update, rules_of

GROUP = "flowcontrol.apiserver.k8s.io"
SCHEMAS, LEVELS = rules_of(GROUP, "v1", "flowschemas"), rules_of(GROUP, "v1", "prioritylevelconfigurations")
LEASES, REVISIONS = rules_of("coordination.k8s.io", "v1", "leases"), rules_of("apps", "v1", "controllerrevisions")
LEVEL = {"priorityLevelConfiguration": {"name": "p"}}
USER = {"kind": "User", "user": {"name": "u"}}
ANY = {"verbs": ["*"], "nonResourceURLs": ["*"]}


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        (LEVEL, []),
        ({"matchingPrecedence": 10001, "distinguisherMethod": {"type": "Odd"}},
         ["matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
          'distinguisherMethod.type: Unsupported value: {"Type":"Odd"}: supported values: "ByNamespace", "ByUser"',
          "priorityLevelConfiguration.name: Required value: must reference a priority level"]),
        ({**LEVEL, "matchingPrecedence": -1}, ["matchingPrecedence: Invalid value: -1: must be a positive value"]),
        ({**LEVEL, "matchingPrecedence": 1},
         ["matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"]),
    ],
)  # fmt: skip
def test_a_flow_schema(spec: Object, errors: list[str]) -> None:
    assert on_create(SCHEMAS, {"spec": spec}) == [f"spec.{error}" for error in errors]


@pytest.mark.parametrize(
    ("rule", "errors"),
    [
        ({"subjects": [USER], "nonResourceRules": [ANY]}, []),
        ({},
         [".subjects: Required value: subjects must contain at least one value",
          ": Required value: at least one of resourceRules and nonResourceRules has to be non-empty"]),
        ({"subjects": [{"kind": "Odd"}], "nonResourceRules": [ANY]},
         ['.subjects[0].kind: Unsupported value: "Odd": supported values: "Group", "ServiceAccount", "User"']),
        ({"subjects": [{"kind": "Group", "user": {}}], "nonResourceRules": [ANY]},
         [".subjects[0].group: Required value: group is required when subject kind is 'Group'",
          ".subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'"]),
        ({"subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": "*"}}], "nonResourceRules": [ANY]},
         [".subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account"]),
        ({"subjects": [USER], "nonResourceRules": [{"verbs": ["odd"], "nonResourceURLs": ["a", "/a*"]}]},
         ['.nonResourceRules[0].verbs: Unsupported value: ["odd"]: supported values: "create", "delete",'
          ' "deletecollection", "get", "list", "patch", "proxy", "update", "watch"',
          '.nonResourceRules[0].nonResourceURLs[0]: Invalid value: "a": must start with slash',
          '.nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*": wildcard can only do suffix matching']),
        ({"subjects": [USER], "resourceRules": [{"verbs": ["*", "get"], "apiGroups": ["*", "a"]}]},
         [".resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify other verbs",
          ".resourceRules[0].apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other api"
          " groups",
          ".resourceRules[0].resources: Required value",
          ".resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at"
          " least one namespace"]),
    ],
)  # fmt: skip
def test_the_requests_of_a_flow(rule: Object, errors: list[str]) -> None:
    assert on_create(SCHEMAS, {"spec": {**LEVEL, "rules": [rule]}}) == [f"spec.rules[0]{error}" for error in errors]


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}, []),
        ({"type": "Exempt", "limited": {"limitResponse": {"type": "Reject"}}},
         ["type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'",
          "limited: Forbidden: must be nil if the type is not Limited"]),
        ({"type": "Limited"}, ["limited: Required value: must not be empty when type is Limited"]),
        ({"type": "Odd"}, ['type: Unsupported value: "Odd": supported values: "Exempt", "Limited"']),
        ({"type": "Limited", "limited": {
            "nominalConcurrencyShares": -1, "lendablePercent": 101, "borrowingLimitPercent": -1, "limitResponse": {}}},
         ["limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
          'limited.limitResponse.type: Unsupported value: "": supported values: "Queue", "Reject"',
          "limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
          "limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer"]),
        ({"type": "Limited", "limited": {"limitResponse": {"type": "Queue"}}},
         ["limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is Limited"]),
        ({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": 4}}}},
         ["limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"]),
        ({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {"handSize": 11}}}},
         ["limited.limitResponse.queuing.handSize: Invalid value: 11: required entropy bits of deckSize 64 and handSize"
          " 11 should not be greater than 60"]),
    ],
)  # fmt: skip
def test_a_priority_level(spec: Object, errors: list[str]) -> None:
    assert on_create(LEVELS, {"spec": spec}) == [f"spec.{error}" for error in errors]


MISC = json.loads((files("apiserver.bootstrap") / "data" / "bootstrap-misc.json").read_bytes())
EXEMPT = {"nominalConcurrencyShares": 10, "lendablePercent": 50}


@pytest.mark.parametrize("name", ["exempt", "catch-all"])
def test_what_every_server_has_is_as_it_begins(name: str) -> None:
    for rules, plural in ((SCHEMAS, "flowschemas"), (LEVELS, "prioritylevelconfigurations")):
        (made,) = (each for each in MISC[plural] if each["metadata"]["name"] == name)
        assert on_create(rules, made) == []


@pytest.mark.parametrize(
    ("rules", "name", "spec", "errors"),
    [
        (SCHEMAS, "catch-all", {**LEVEL, "matchingPrecedence": 7},
         ['spec: Invalid value: {"PriorityLevelConfiguration":{"Name":"p"},"MatchingPrecedence":7,'
          '"DistinguisherMethod":null,"Rules":null}: spec of \'catch-all\' must equal the fixed value']),
        (LEVELS, "catch-all", {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}},
         ['spec: Invalid value: {"Type":"Limited","Limited":{"NominalConcurrencyShares":30,"LimitResponse":{"Type":'
          '"Reject","Queuing":null},"LendablePercent":0,"BorrowingLimitPercent":null},"Exempt":null}: spec of'
          " 'catch-all' must equal the fixed value"]),
        (LEVELS, "exempt", {"type": "Exempt", "exempt": EXEMPT}, []),
        (LEVELS, "exempt", {"type": "Exempt", "exempt": EXEMPT, "limited": {"limitResponse": {"type": "Reject"}}},
         ["spec.limited: Forbidden: must be nil if the type is not Limited",
          'spec: Invalid value: {"Type":"Exempt","Limited":{"NominalConcurrencyShares":30,"LimitResponse":{"Type":'
          '"Reject","Queuing":null},"LendablePercent":0,"BorrowingLimitPercent":null},"Exempt":'
          '{"NominalConcurrencyShares":10,"LendablePercent":50}}: spec of \'exempt\' except the \'spec.exempt\' field'
          " must equal the fixed value"]),
    ],
)  # fmt: skip
def test_what_every_server_has_stays(rules: Rules, name: str, spec: Object, errors: list[str]) -> None:
    assert on_create(rules, {"metadata": {"name": name}, "spec": spec}) == errors


def test_conditions_have_a_type_each() -> None:
    status = {"conditions": [{"type": "A"}, {"type": "A"}, {}]}
    assert lines(SCHEMAS.validate_status({"status": status}, {})) == [
        'status.conditions[1].type: Duplicate value: "A"',
        "status.conditions[2].type: Required value",
    ]


def test_a_lease_holds_for_a_while() -> None:
    assert on_create(LEASES, {"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
    ]
    lease: Object = {"metadata": {}, "spec": {"strategy": "OldestEmulationVersion", "holderIdentity": "h"}}
    LEASES.prepare_create(lease)
    assert lease["spec"] == {"holderIdentity": "h"}


def test_a_revisions_data_stays() -> None:
    assert on_create(REVISIONS, {"revision": -1}) == [
        "revision: Invalid value: -1: must be greater than or equal to 0",
        "data: Required value: data is mandatory",
    ]
    said = 'data: Invalid value: {"a":2}: field is immutable'
    assert on_update(REVISIONS, {"revision": 2, "data": {"a": 2}}, {"revision": 1, "data": {"a": 1}}) == [said]
