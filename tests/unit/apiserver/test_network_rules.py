"""Rules of network policies, ingresses and their classes, and addresses: what each wrong value is refused with."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from tests.kind_rules import on_create, on_update, rules_of

GROUP = "networking.k8s.io"
POLICIES, INGRESSES = rules_of(GROUP, "v1", "networkpolicies"), rules_of(GROUP, "v1", "ingresses")
CLASSES, ADDRESSES = rules_of(GROUP, "v1", "ingressclasses"), rules_of(GROUP, "v1", "ipaddresses")
RANGES = rules_of(GROUP, "v1", "servicecidrs")
BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def policy(*rules: Object, **spec: object) -> Object:
    return {"spec": {"podSelector": {}, "ingress": list(rules), **spec}}


@pytest.mark.parametrize(
    ("rule", "errors"),
    [
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}, []),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]},
         ['from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`']),
        ({"from": [{"ipBlock": {"cidr": "x", "except": ["y"]}}]},
         [f'from[0].ipBlock.cidr: Invalid value: "x": {CIDR}']),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]},
         ['from[0].ipBlock.cidr: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length']),
        ({"from": [{"ipBlock": {}}]}, ["from[0].ipBlock.cidr: Required value"]),
        ({"from": [{}]}, ["from[0]: Required value: must specify a peer"]),
        ({"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]},
         ["from[0]: Forbidden: may not specify both ipBlock and another peer"]),
        ({"ports": [{"port": 80, "endPort": 79}]},
         ["ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`"]),
        ({"ports": [{"port": "a", "endPort": 79}]},
         ["ports[0].endPort: Invalid value: 79: may not be specified when `port` is non-numeric"]),
        ({"ports": [{"endPort": 79}]},
         ["ports[0].endPort: Invalid value: 79: may not be specified when `port` is not specified"]),
        ({"ports": [{"port": 0}]}, ["ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"]),
        ({"ports": [{"protocol": "ICMP"}]},
         ['ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"']),
    ],
)  # fmt: skip
def test_a_network_policy(rule: Object, errors: list[str]) -> None:
    assert on_create(POLICIES, policy(rule)) == [f"spec.ingress[0].{error}" for error in errors]


def test_a_policys_directions() -> None:
    supported = 'spec.policyTypes[0]: Unsupported value: "Up": supported values: "Ingress", "Egress"'
    assert on_create(POLICIES, policy(policyTypes=["Up"])) == [supported]
    said = 'Invalid value: ["Ingress","Egress","Up"]: may not specify more than two policyTypes'
    assert on_create(POLICIES, policy(policyTypes=["Ingress", "Egress", "Up"])) == [f"spec.policyTypes: {said}"]


def test_ranges_that_a_policy_had_before_stay() -> None:
    old = policy({"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]})
    assert on_update(POLICIES, policy({"from": [{}, {"ipBlock": {"cidr": "10.0.0.1/8"}}]}), old) == [
        "spec.ingress[0].from[0]: Required value: must specify a peer"
    ]
    assert POLICIES.warnings(old) == [
        'spec.ingress[0].from[0].ipBlock.cidr: CIDR value "10.0.0.1/8" is ambiguous in this context'
        ' (should be "10.0.0.0/8" or "10.0.0.1/32"?)'
    ]


@pytest.mark.parametrize(
    ("path", "errors"),
    [
        ({"path": "/a", "pathType": "Prefix", "backend": BACKEND}, []),
        ({"path": "a", "pathType": "Prefix", "backend": BACKEND},
         ['path: Invalid value: "a": must be an absolute path']),
        ({"path": "/a//b/..", "pathType": "Exact", "backend": BACKEND},
         ["path: Invalid value: \"/a//b/..\": must not contain '//'",
          "path: Invalid value: \"/a//b/..\": cannot end with '/..'"]),
        ({"pathType": "ImplementationSpecific", "backend": BACKEND}, []),
        ({"path": "/a"}, ["pathType: Required value: pathType must be specified"]),
        ({"path": "/a", "pathType": "Odd", "backend": BACKEND},
         ['pathType: Unsupported value: "Odd": supported values: "Exact", "ImplementationSpecific", "Prefix"']),
        ({"path": "/a", "pathType": "Exact"}, ['backend: Invalid value: "": resource or service backend is required']),
        ({"path": "/a", "pathType": "Exact", "backend": {"service": {"name": "s"}}},
         ["backend: Required value: port name or number is required"]),
        ({"path": "/a", "pathType": "Exact", "backend": {"service": {"port": {"name": "a", "number": 1}}}},
         ["backend.service.name: Required value",
          'backend: Invalid value: "": cannot set both port name & port number']),
        ({"path": "/a", "pathType": "Exact", "backend": {"resource": {"kind": "a/b", "apiGroup": ""}}},
         [f'backend.resource.apiGroup: Invalid value: "": {SUBDOMAIN}',
          "backend.resource.kind: Invalid value: \"a/b\": may not contain '/'",
          "backend.resource.name: Required value"]),
    ],
)  # fmt: skip
def test_a_path_of_an_ingress(path: Object, errors: list[str]) -> None:
    ingress = {"spec": {"rules": [{"http": {"paths": [path]}}]}}
    assert on_create(INGRESSES, ingress) == [f"spec.rules[0].http.paths[0].{error}" for error in errors]


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({}, ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        ({"rules": [{"host": "10.0.0.1", "http": {}}]},
         ['spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
          "spec.rules[0].http.paths: Required value"]),
        ({"defaultBackend": BACKEND, "tls": [{"hosts": ["*.a"], "secretName": "A"}], "ingressClassName": "B"},
         [f'spec.tls[0].secretName: Invalid value: "A": {SUBDOMAIN}',
          f'spec.ingressClassName: Invalid value: "B": {SUBDOMAIN}']),
    ],
)  # fmt: skip
def test_an_ingress(spec: Object, errors: list[str]) -> None:
    assert on_create(INGRESSES, {"spec": spec}) == errors


def test_an_ingress_says_its_class_once() -> None:
    annotated = {"metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "a"}}}
    plain = {**annotated, "spec": {"defaultBackend": BACKEND}}
    other = {**annotated, "spec": {"defaultBackend": BACKEND, "ingressClassName": "b"}}
    said = "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    assert INGRESSES.warnings(plain) == [said]
    assert INGRESSES.warnings(other) == []
    differs = 'Invalid value: "a": must match `ingressClassName` when both are specified'
    assert on_create(INGRESSES, other) == [f"annotations.kubernetes.io/ingress.class: {differs}"]
    assert on_update(INGRESSES, other, plain) == []


def test_old_ingresses_keep_what_was_let_in() -> None:
    wild = {"host": "*.a", "http": {"paths": []}}
    old = {"spec": {"rules": [wild], "tls": [{"secretName": "A"}]}}
    assert on_update(INGRESSES, old, old) == []
    assert on_update(INGRESSES, old, {"spec": {"rules": [{"host": "*.a"}]}}) == [
        "spec.rules[0].http.paths: Required value",
        f'spec.tls[0].secretName: Invalid value: "A": {SUBDOMAIN}',
    ]


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({"controller": "a.b/c", "parameters": {"kind": "K", "name": "n"}}, []),
        ({}, ["spec.controller: Required value"]),
        ({"controller": "a"},
         ['spec.controller: Invalid value: "a": must be a domain-prefixed path (such as "acme.io/foo")']),
        ({"controller": "a.b/" + "c" * 250}, ["spec.controller: Too long: may not be more than 250 bytes"]),
        ({"controller": "a.b/c", "parameters": {"scope": "Odd"}},
         ["spec.parameters.kind: Required value", "spec.parameters.name: Required value",
          'spec.parameters.scope: Unsupported value: "Odd": supported values: "Cluster", "Namespace"']),
        ({"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}},
         ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"]),
        ({"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "namespace": "n"}},
         ["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"]),
    ],
)  # fmt: skip
def test_an_ingress_class(spec: Object, errors: list[str]) -> None:
    assert on_create(CLASSES, {"spec": spec}) == errors


def test_a_classs_controller_stays() -> None:
    said = 'spec.controller: Invalid value: "a.b/d": field is immutable'
    assert on_update(CLASSES, {"spec": {"controller": "a.b/d"}}, {"spec": {"controller": "a.b/c"}}) == [said]


def test_an_address_has_a_parent_for_good() -> None:
    parent = {"resource": "services", "name": "s", "namespace": "d"}
    assert on_create(ADDRESSES, {"spec": {"parentRef": parent}}) == []
    assert on_create(ADDRESSES, {"spec": {}}) == ["spec.parentRef: Required value"]
    assert on_create(ADDRESSES, {"spec": {"parentRef": {"name": "a/b"}}}) == [
        "spec.parentRef.resource: Required value",
        "spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'",
    ]
    (said,) = on_update(ADDRESSES, {"spec": {"parentRef": {**parent, "name": "t"}}}, {"spec": {"parentRef": parent}})
    assert said.startswith("spec.parentRef: Invalid value: {") and said.endswith("}: field is immutable")


@pytest.mark.parametrize(
    ("ranges", "errors"),
    [
        (["10.0.0.0/16", "fd00::/112"], []),
        ([], ["spec.cidrs: Required value: at least one CIDR required"]),
        (["a", "b", "c"], ['spec.cidrs: Invalid value: {"CIDRs":["a","b","c"]}: may only hold up to 2 values']),
        (["10.0.0.0/16", "10.1.0.0/16"],
         ['spec.cidrs: Invalid value: ["10.0.0.0/16","10.1.0.0/16"]: may specify no more than one IP for each IP'
          " family, i.e 192.168.0.0/24 and 2001:db8::/64"]),
        (["FD00::/112"], ['spec.cidrs[0]: Invalid value: "FD00::/112": must be in canonical form ("fd00::/112")']),
    ],
)  # fmt: skip
def test_a_range_of_services(ranges: list[str], errors: list[str]) -> None:
    assert on_create(RANGES, {"spec": {"cidrs": ranges}}) == errors


@pytest.mark.parametrize(
    ("old", "new", "errors"),
    [
        (["10.0.0.0/16"], ["10.0.0.0/16", "fd00::/112"], []),
        (["10.0.0.0/16"], ["10.1.0.0/16"], ['spec.cidrs[0]: Invalid value: "10.1.0.0/16": field is immutable']),
        (["10.0.0.0/16"], [], ["spec.cidrs: Invalid value: []: field is immutable"]),
    ],
)
def test_a_range_may_only_get_a_second_family(old: list[str], new: list[str], errors: list[str]) -> None:
    assert on_update(RANGES, {"spec": {"cidrs": new}}, {"spec": {"cidrs": old}}) == errors
