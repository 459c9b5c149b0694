"""Rules of network policies and ingresses: which field each wrong value is refused at."""

from __future__ import annotations

import pytest

from apiserver.kinds.rules import rules_for
from machinery.api.resource import Object
from machinery.api.resources import BY_PATH

POLICIES = BY_PATH[("networking.k8s.io", "v1", "networkpolicies")]
INGRESSES = BY_PATH[("networking.k8s.io", "v1", "ingresses")]
BACKEND = {"service": {"name": "s", "port": {"number": 80}}}


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}, ""),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}, "from[0].ipBlock.except[0]"),
        ({"from": [{"ipBlock": {"cidr": "x"}}]}, "from[0].ipBlock.cidr"),
        ({"from": [{}]}, "from[0]"),
        ({"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}, "from[0]"),
        ({"ports": [{"port": 80, "endPort": 79}]}, "ports[0].endPort"),
        ({"ports": [{"protocol": "ICMP"}]}, "ports[0].protocol"),
    ],
)
def test_a_network_policy(rule: Object, field: str) -> None:
    made = {"metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingress": [rule]}}
    rules_for(POLICIES).default(made)
    fields = [cause.field for cause in rules_for(POLICIES).validate(made)]
    assert fields == ([f"spec.ingress[0].{field}"] if field else [])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ({"path": "/a", "pathType": "Prefix", "backend": BACKEND}, ""),
        ({"path": "a", "pathType": "Prefix", "backend": BACKEND}, "path"),
        ({"path": "/a//b", "pathType": "Exact", "backend": BACKEND}, "path"),
        ({"path": "/a", "backend": BACKEND}, "pathType"),
        ({"path": "/a", "pathType": "Odd", "backend": BACKEND}, "pathType"),
        ({"path": "/a", "pathType": "Exact", "backend": {"service": {"name": "s"}}}, "backend"),
    ],
)
def test_an_ingress(path: Object, field: str) -> None:
    made = {"metadata": {"name": "i"}, "spec": {"rules": [{"http": {"paths": [path]}}]}}
    fields = [cause.field for cause in rules_for(INGRESSES).validate(made)]
    assert fields == ([f"spec.rules[0].http.paths[0].{field}"] if field else [])
