"""Rules of roles and bindings: what each wrong value is refused with."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from tests.kind_rules import on_create, on_update, rules_of

GROUP = "rbac.authorization.k8s.io"
ROLES, CLUSTER_ROLES = rules_of(GROUP, "v1", "roles"), rules_of(GROUP, "v1", "clusterroles")
BINDINGS, CLUSTER_BINDINGS = rules_of(GROUP, "v1", "rolebindings"), rules_of(GROUP, "v1", "clusterrolebindings")


@pytest.mark.parametrize(
    ("rule", "errors"),
    [
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, []),
        ({},
         ["verbs: Required value: verbs must contain at least one value",
          "apiGroups: Required value: resource rules must supply at least one api group",
          "resources: Required value: resource rules must supply at least one resource"]),
        ({"verbs": ["get"], "nonResourceURLs": ["/a"], "resources": ["b"]},
         ['nonResourceURLs: Invalid value: ["/a"]: namespaced rules cannot apply to non-resource URLs',
          'nonResourceURLs: Invalid value: ["/a"]: rules cannot apply to both regular resources and non-resource'
          " URLs"]),
    ],
)  # fmt: skip
def test_a_rule(rule: Object, errors: list[str]) -> None:
    assert on_create(ROLES, {"rules": [rule]}) == [f"rules[0].{error}" for error in errors]
    of_cluster = [error for error in errors if "namespaced" not in error]
    assert on_create(CLUSTER_ROLES, {"rules": [rule]}) == [f"rules[0].{error}" for error in of_cluster]


@pytest.mark.parametrize(
    ("selectors", "errors"),
    [
        ([{"matchLabels": {"a": "b"}}], []),
        ([], ["Required value: at least one clusterRoleSelector required if aggregationRule is non-nil"]),
        ([{"matchExpressions": [{"key": "a", "operator": "In"}]}],
         ["[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"]),
    ],
)  # fmt: skip
def test_an_aggregation(selectors: list[Object], errors: list[str]) -> None:
    found = on_create(CLUSTER_ROLES, {"aggregationRule": {"clusterRoleSelectors": selectors}})
    path = "aggregationRule.clusterRoleSelectors"
    assert found == [f"{path}{error}" if error[0] == "[" else f"{path}: {error}" for error in errors]


@pytest.mark.parametrize(
    ("subject", "errors"),
    [
        ({"kind": "User", "name": "u"}, []),
        ({"kind": "User"}, ["name: Required value", 'name: Invalid value: "": user name cannot be empty']),
        ({"kind": "Group", "name": "g", "apiGroup": "a"},
         [f'apiGroup: Unsupported value: "a": supported values: "{GROUP}"']),
        ({"kind": "ServiceAccount", "name": "s", "apiGroup": "a"},
         ['apiGroup: Unsupported value: "a": supported values: ""', "namespace: Required value"]),
        ({"kind": "Odd", "name": "o"},
         ['kind: Unsupported value: "Odd": supported values: "ServiceAccount", "User", "Group"']),
    ],
)  # fmt: skip
def test_a_subject(subject: Object, errors: list[str]) -> None:
    binding = {"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [subject]}
    assert on_create(CLUSTER_BINDINGS, binding) == [f"subjects[0].{error}" for error in errors]


def test_a_reference_to_a_role() -> None:
    assert on_create(BINDINGS, {"roleRef": {"kind": "Odd", "name": "a/b", "apiGroup": "g"}}) == [
        f'roleRef.apiGroup: Unsupported value: "g": supported values: "{GROUP}"',
        'roleRef.kind: Unsupported value: "Odd": supported values: "Role", "ClusterRole"',
        "roleRef.name: Invalid value: \"a/b\": may not contain '/'",
    ]
    old, new = {"roleRef": {"kind": "Role", "name": "r"}}, {"roleRef": {"kind": "Role", "name": "s"}}
    said = f'{{"APIGroup":"{GROUP}","Kind":"Role","Name":"s"}}: cannot change roleRef'
    assert on_update(BINDINGS, new, old) == [f"roleRef: Invalid value: {said}"]
