"""What a pod is refused for in where it may run: affinity, tolerations, spreading, gates, word by word."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from tests.unit.apiserver.pod_examples import LABEL, LABEL_VALUE, QUALIFIED, SUBDOMAIN, pod, refusals

EMPTY_KEY = [
    "name part must be non-empty",
    QUALIFIED,
]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
SELECTOR = {"matchLabels": {"app": "a"}}


def node(**terms: object) -> Object:
    return {"affinity": {"nodeAffinity": terms}}


def expressions(*wanted: Object) -> Object:
    return node(**{REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": list(wanted)}]}})


def fields(*wanted: Object) -> Object:
    return node(**{REQUIRED: {"nodeSelectorTerms": [{"matchFields": list(wanted)}]}})


def weighted(**preferred: object) -> Object:
    return node(**{PREFERRED: [preferred]})


@pytest.mark.parametrize(
    "spec, expected",
    [
        (node(), []),
        (node(**{REQUIRED: {}}), [
            f"{REQUIRED}.nodeSelectorTerms: Required value: must have at least one node selector term"]),
        (node(**{REQUIRED: {"nodeSelectorTerms": [{}]}}), []),
        (expressions({"key": "a", "operator": "In", "values": ["b"]}, {"key": "a", "operator": "Exists"},
                     {"key": "a", "operator": "Gt", "values": ["1"]}), []),
        (expressions({"key": "a", "operator": "In"}, {"key": "a", "operator": "DoesNotExist", "values": ["b"]},
                     {"key": "a", "operator": "Lt", "values": ["1", "2"]}, {"key": "a", "operator": "Like"}), [
            f"{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].values: Required value:"
            " must be specified when `operator` is 'In' or 'NotIn'",
            f"{REQUIRED}.nodeSelectorTerms[0].matchExpressions[1].values: Forbidden:"
            " may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            f"{REQUIRED}.nodeSelectorTerms[0].matchExpressions[2].values: Required value:"
            " must be specified single value when `operator` is 'Lt' or 'Gt'",
            f"{REQUIRED}.nodeSelectorTerms[0].matchExpressions[3].operator: Invalid value: \"Like\":"
            " not a valid selector operator"]),
        (expressions({"key": "a b", "operator": "In", "values": ["c d"]}), [
            f'{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: Invalid value: "a b": {QUALIFIED}',
            f'{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "c d": {LABEL_VALUE}']),
        (fields({"key": "metadata.name", "operator": "In", "values": ["n"]}), []),
        (fields({"key": "metadata.name", "operator": "Exists"}, {"key": "metadata.name", "operator": "NotIn"},
                {"key": "metadata.uid", "operator": "In", "values": ["a", "b"]},
                {"key": "metadata.name", "operator": "In", "values": ["N"]}), [
            f'{REQUIRED}.nodeSelectorTerms[0].matchFields[0].operator: Invalid value: "Exists":'
            " not a valid selector operator",
            f"{REQUIRED}.nodeSelectorTerms[0].matchFields[1].values: Required value:"
            " must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            f"{REQUIRED}.nodeSelectorTerms[0].matchFields[2].values: Required value:"
            " must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            f'{REQUIRED}.nodeSelectorTerms[0].matchFields[2].key: Invalid value: "metadata.uid":'
            " not a valid field selector key",
            f'{REQUIRED}.nodeSelectorTerms[0].matchFields[3].values[0]: Invalid value: "N": {SUBDOMAIN}']),
        (weighted(weight=100, preference={}), []),
        (weighted(preference={}), [f"{PREFERRED}[0].weight: Invalid value: 0: must be in the range 1-100"]),
        (weighted(weight=101, preference={"matchExpressions": [{"key": "", "operator": "In", "values": ["c d"]}]}), [
            f"{PREFERRED}[0].weight: Invalid value: 101: must be in the range 1-100",
            *(f'{PREFERRED}[0].preference.matchExpressions[0].key: Invalid value: "": {detail}'
              for detail in EMPTY_KEY)]),
    ],
)  # fmt: skip
def test_affinity_to_nodes(spec: Object, expected: list[str]) -> None:
    assert refusals(pod(spec)) == [f"spec.affinity.nodeAffinity.{line}" for line in expected]


def near(**term: object) -> Object:
    return {"labelSelector": SELECTOR, "topologyKey": "zone", **term}


UNSET = "must not be specified when labelSelector is not set"


@pytest.mark.parametrize(
    "term, expected",
    [
        (near(), []),
        (near(namespaces=["a"], namespaceSelector={}, matchLabelKeys=["x"], mismatchLabelKeys=["y"]), []),
        ({}, [".topologyKey: Required value: can not be empty",
              *(f'.topologyKey: Invalid value: "": {detail}' for detail in EMPTY_KEY)]),
        (near(topologyKey="a b", namespaces=["A", "b.c"]), [
            f'.namespace: Invalid value: "A": {LABEL}', '.namespace: Invalid value: "b.c": must not contain dots',
            f'.topologyKey: Invalid value: "a b": {QUALIFIED}']),
        (near(labelSelector={"matchLabels": {"a b": "c d"}}), [
            f'.labelSelector.matchLabels: Invalid value: "a b": {QUALIFIED}',
            f'.labelSelector.matchLabels: Invalid value: "c d": {LABEL_VALUE}']),
        (near(labelSelector={"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "a", "operator": "Gt"},
                                                  {"key": "a", "operator": "Exists", "values": ["b"]}]}), [
            ".labelSelector.matchExpressions[0].values: Required value:"
            " must be specified when `operator` is 'In' or 'NotIn'",
            '.labelSelector.matchExpressions[1].operator: Invalid value: "Gt": not a valid selector operator',
            ".labelSelector.matchExpressions[2].values: Forbidden:"
            " may not be specified when `operator` is 'Exists' or 'DoesNotExist'"]),
        (near(namespaceSelector={"matchExpressions": [{"operator": "Exists"}]}), [
            *(f'.namespaceSelector.matchExpressions[0].key: Invalid value: "": {detail}' for detail in EMPTY_KEY)]),
        ({"topologyKey": "zone", "matchLabelKeys": ["x"], "mismatchLabelKeys": ["y"]}, [
            f".matchLabelKeys: Forbidden: {UNSET}", f".mismatchLabelKeys: Forbidden: {UNSET}"]),
        (near(matchLabelKeys=["a b", "x"], mismatchLabelKeys=["x"]), [
            f'.matchLabelKeys[0]: Invalid value: "a b": {QUALIFIED}',
            '.matchLabelKeys[1]: Invalid value: "x": exists in both matchLabelKeys and mismatchLabelKeys']),
        (near(matchLabelKeys=["own", "app"]), [
            '[1]: Invalid value: "app": exists in both matchLabelKeys and labelSelector']),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["podAffinity", "podAntiAffinity"])
def test_affinity_to_pods(kind: str, term: Object, expected: list[str]) -> None:
    found = pod({"affinity": {kind: {REQUIRED: [term]}}}, labels={"app": "b"})
    assert refusals(found) == [f"spec.affinity.{kind}.{REQUIRED}[0]{line}" for line in expected]
    found = pod({"affinity": {kind: {PREFERRED: [{"weight": 0, "podAffinityTerm": term}]}}}, labels={"app": "b"})
    path = f"spec.affinity.{kind}.{PREFERRED}[0]"
    assert refusals(found) == [
        f"{path}.weight: Invalid value: 0: must be in the range 1-100",
        *(f"{path}.podAffinityTerm{line}" for line in expected),
    ]


def test_the_values_of_a_pods_own_labels_come_into_the_selectors() -> None:
    term = near(matchLabelKeys=["own", "absent"], mismatchLabelKeys=["tenant"])
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "matchLabelKeys": ["own"]}
    spec = {
        "affinity": {"podAffinity": {REQUIRED: [term]}},
        "topologySpreadConstraints": [{**spread, "labelSelector": SELECTOR}],
    }
    found = pod(spec, labels={"own": "1", "tenant": "t"})
    assert refusals(found) == []
    own = {"key": "own", "operator": "In", "values": ["1"]}
    merged = found["spec"]["affinity"]["podAffinity"][REQUIRED][0]["labelSelector"]
    assert merged == {**SELECTOR, "matchExpressions": [own, {"key": "tenant", "operator": "NotIn", "values": ["t"]}]}
    constraint = found["spec"]["topologySpreadConstraints"][0]
    assert constraint["labelSelector"] == {**SELECTOR, "matchExpressions": [own]}


def spread(**fields: object) -> Object:
    return {"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}, **fields}


ACTIONS = 'supported values: "DoNotSchedule", "ScheduleAnyway"'


@pytest.mark.parametrize(
    "constraints, expected",
    [
        ([spread(), spread(whenUnsatisfiable="ScheduleAnyway"), spread(topologyKey="l")], []),
        ([spread(maxSkew=0)], ["[0].maxSkew: Invalid value: 0: must be greater than zero"]),
        ([spread(maxSkew=-1, topologyKey="", whenUnsatisfiable="")], [
            "[0].maxSkew: Invalid value: -1: must be greater than zero",
            "[0].topologyKey: Required value: can not be empty",
            f'[0].whenUnsatisfiable: Unsupported value: "": {ACTIONS}']),
        ([spread(), spread(), spread(whenUnsatisfiable="ScheduleAnyway")], [
            '[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{k, DoNotSchedule}"']),
        ([spread(minDomains=1)], []),
        ([spread(minDomains=0, whenUnsatisfiable="ScheduleAnyway")], [
            "[0].minDomains: Invalid value: 0: must be greater than zero",
            "[0].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule,"
            " not ScheduleAnyway"]),
        ([spread(nodeAffinityPolicy="Honor", nodeTaintsPolicy="Ignore")], []),
        ([spread(nodeAffinityPolicy="honor", nodeTaintsPolicy="")], [
            '[0].nodeAffinityPolicy: Unsupported value: "honor": supported values: "Honor", "Ignore"',
            '[0].nodeTaintsPolicy: Unsupported value: "": supported values: "Honor", "Ignore"']),
        ([spread(matchLabelKeys=["x y"])], [f'[0].matchLabelKeys[0]: Invalid value: "x y": {QUALIFIED}']),
        ([spread(matchLabelKeys=["app"], labelSelector=SELECTOR)], [
            '[0][0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector']),
        ([{**spread(matchLabelKeys=["x"]), "labelSelector": None}], [f"[0].matchLabelKeys: Forbidden: {UNSET}"]),
        ([spread(labelSelector={"matchExpressions": [{"key": "a", "operator": "In"}]})], [
            "[0].labelSelector.matchExpressions[0].values: Required value:"
            " must be specified when `operator` is 'In' or 'NotIn'"]),
    ],
)  # fmt: skip
def test_spreading(constraints: list[Object], expected: list[str]) -> None:
    found = pod({"topologySpreadConstraints": constraints}, labels={"app": "b"})
    assert refusals(found) == [f"spec.topologySpreadConstraints{line}" for line in expected]


ALL_KEYS = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
EFFECTS = 'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'


@pytest.mark.parametrize(
    "toleration, expected",
    [
        ({"operator": "Exists"}, []),
        ({"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": -1}, []),
        ({"key": "a"}, []),
        ({}, [f'operator: Invalid value: "": {ALL_KEYS}']),
        ({"operator": "Equal", "value": "v"}, [f'operator: Invalid value: "Equal": {ALL_KEYS}']),
        ({"key": "a b", "operator": "Exists"}, [f'key: Invalid value: "a b": {QUALIFIED}']),
        ({"key": "a", "operator": "Exists", "value": "v"}, [
            "operator: Invalid value: \"v\": value must be empty when `operator` is 'Exists'"]),
        ({"key": "a", "operator": "Equal", "value": "b c"}, [f'operator: Invalid value: "b c": {LABEL_VALUE}']),
        ({"key": "a", "operator": "In"}, [
            'operator: Unsupported value: "In": supported values: "Equal", "Exists"']),
        ({"key": "a", "operator": "Lt", "value": "1"}, [
            'operator: Unsupported value: "Lt": supported values: "Equal", "Exists", "Lt", "Gt"']),
        ({"key": "a", "effect": "Never"}, [f'effect: Unsupported value: "Never": {EFFECTS}']),
        ({"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}, [
            "effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set"]),
        ({"key": "a", "tolerationSeconds": 1}, [
            "effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set"]),
    ],
)  # fmt: skip
def test_tolerations(toleration: Object, expected: list[str]) -> None:
    found = pod({"tolerations": [{"operator": "Exists"}, toleration]})
    assert refusals(found) == [f"spec.tolerations[1].{line}" for line in expected]


@pytest.mark.parametrize(
    "spec, expected",
    [
        ({"nodeSelector": {"a b": "c d"}}, [
            f'nodeSelector: Invalid value: "a b": {QUALIFIED}', f'nodeSelector: Invalid value: "c d": {LABEL_VALUE}']),
        ({"nodeName": "N"}, [f'nodeName: Invalid value: "N": {SUBDOMAIN}']),
        ({"schedulingGates": [{"name": "a"}, {"name": "b"}]}, []),
        ({"schedulingGates": [{"name": "a"}, {"name": "a"}, {}]}, [
            'schedulingGates[1]: Duplicate value: "a"',
            *(f'schedulingGates[2]: Invalid value: "": {detail}' for detail in EMPTY_KEY)]),
        ({"schedulingGates": [{"name": "a"}], "nodeName": "n"}, [
            "nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"]),
        ({"readinessGates": [{"conditionType": "a/b"}, {"conditionType": "a b"}]}, [
            f'readinessGates[1].conditionType: Invalid value: "a b": {QUALIFIED}']),
    ],
)  # fmt: skip
def test_nodes_and_gates(spec: Object, expected: list[str]) -> None:
    assert refusals(pod(spec)) == [f"spec.{line}" for line in expected]
