"""ConfigMaps, Secrets, nodes, quotas, ranges, endpoints, events: what is refused and warned of, word by word."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from machinery.api.resource import Object
from tests.kind_rules import lines, on_create, on_update, rules_of

SECRETS, MAPS, NODES = (rules_of("", "v1", name) for name in ("secrets", "configmaps", "nodes"))
QUOTAS, RANGES = rules_of("", "v1", "resourcequotas"), rules_of("", "v1", "limitranges")
ENDPOINTS, SLICES = rules_of("", "v1", "endpoints"), rules_of("discovery.k8s.io", "v1", "endpointslices")
NAMESPACES, EVENTS = rules_of("", "v1", "namespaces"), rules_of("", "v1", "events")
NEW_EVENTS = rules_of("events.k8s.io", "v1", "events")
ACCOUNTS = rules_of("", "v1", "serviceaccounts")
IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"


def text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


REDACTED = 'Invalid value: "<secret contents redacted>"'


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("Opaque", {"a": "b"}, []),
        ("Opaque", {"..": ""}, ["data[..]: Invalid value: \"..\": must not be '..'"]),
        ("kubernetes.io/tls", {"tls.crt": "x"}, ["data[tls.key]: Required value"]),
        ("kubernetes.io/ssh-auth", {"ssh-privatekey": ""}, ["data[ssh-privatekey]: Required value"]),
        ("kubernetes.io/basic-auth", {}, ["data[username]: Required value", "data[password]: Required value"]),
        ("kubernetes.io/basic-auth", {"username": ""}, []),
        ("kubernetes.io/dockercfg", {}, ["data[.dockercfg]: Required value"]),
        ("kubernetes.io/dockercfg", {".dockercfg": "[]"}, [
            f"data[.dockercfg]: {REDACTED}: json: cannot unmarshal array into Go value of type map[string]interface"
            " {}"]),
        ("kubernetes.io/dockercfg", {".dockercfg": "{a"}, [
            f"data[.dockercfg]: {REDACTED}: invalid character 'a' looking for beginning of object key string"]),
        ("kubernetes.io/dockercfg", {".dockercfg": "{}x"}, [
            f"data[.dockercfg]: {REDACTED}: invalid character 'x' after top-level value"]),
        ("kubernetes.io/dockercfg", {".dockercfg": "nul"}, [
            f"data[.dockercfg]: {REDACTED}: unexpected end of JSON input"]),
        ("kubernetes.io/service-account-token", {}, [
            "metadata.annotations[kubernetes.io/service-account.name]: Required value"]),
        ("Opaque", {"a": "x" * (1 << 20), "b": "x"}, ["data: Too long: may not be more than 1048576 bytes"]),
    ],
)  # fmt: skip
def test_a_secret(kind: str, data: Object, expected: list[str]) -> None:
    made = {"metadata": {"name": "s"}, "type": kind, "data": {key: text(value) for key, value in data.items()}}
    assert on_create(SECRETS, made) == expected


def test_what_stays_of_secrets_and_config_maps() -> None:
    old: Object = {"metadata": {"name": "s"}, "immutable": True, "data": {"a": "YQ=="}}
    new = {"metadata": {"name": "s"}, "type": "other", "data": {}}
    assert on_update(SECRETS, new, old) == [
        f'type: Invalid value: "other": {IMMUTABLE}',
        "immutable: Forbidden: field is immutable when `immutable` is set",
        "data: Forbidden: field is immutable when `immutable` is set",
    ]
    both = {"metadata": {"name": "c"}, "data": {"a b": "x", "c": "x"}, "binaryData": {"c": "YQ=="}}
    assert on_create(MAPS, both)[1:] == ['data[c]: Invalid value: "c": duplicate of key present in binaryData']


def test_a_secrets_certificate_is_its_keys() -> None:
    made: Object = {"type": "kubernetes.io/tls", "data": {"tls.crt": text("x"), "tls.key": text("y")}}
    assert SECRETS.warnings(made) == ["tls: failed to find any PEM data in certificate input"]
    key = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"
    made["data"]["tls.crt"] = text(key)
    assert SECRETS.warnings(made) == [
        "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may"
        " have been switched"
    ]


def test_an_account_holds_names_alone() -> None:
    made: Object = {"metadata": {"name": "a"}, "secrets": [{"name": "s", "namespace": "other"}]}
    ACCOUNTS.prepare_create(made)
    assert made["secrets"] == [{"name": "s"}]


def test_a_namespace_ends_when_it_is_deleted() -> None:
    made = {"metadata": {"name": "n"}, "spec": {"finalizers": ["odd", "a.b/c"]}}
    assert on_create(NAMESPACES, made) == [
        'spec.finalizers: Invalid value: "odd": name is neither a standard finalizer name nor is it fully qualified'
    ]
    assert lines(NAMESPACES.validate_status({**made, "status": {"phase": "Terminating"}}, made)) == [
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    ]


TAINT = {"key": "a", "value": "b", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"taints": [TAINT], "podCIDRs": ["10.0.0.0/24", "fd00::/64"]}, []),
        ({"taints": [TAINT, TAINT, {"key": "a"}, {"key": "c", "effect": "Odd"}]}, [
            'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"b","Effect":"NoSchedule","TimeAdded":null}:'
            " taints must be unique by key and effect pair",
            "metadata.taints[2].effect: Required value",
            'metadata.taints[3].effect: Unsupported value: "Odd": supported values: "NoSchedule", "PreferNoSchedule",'
            ' "NoExecute"']),
        ({"podCIDRs": ["10.0.0.0/24", "10.0.0.0/24"]}, [
            'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.0.0/24"]: may specify no more than one CIDR for each IP'
            " family",
            'spec.podCIDRs[1]: Duplicate value: "10.0.0.0/24"']),
        ({"podCIDR": "x"}, [
            'spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)']),
    ],
)  # fmt: skip
def test_a_node(spec: Object, expected: list[str]) -> None:
    assert on_create(NODES, {"metadata": {"name": "n"}, "spec": spec}) == expected


def test_all_of_a_node_is_allocatable_where_nothing_else_is_said() -> None:
    node: Object = {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4"}}}
    NODES.default(node)
    assert node["status"] == {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "4"}}
    less: Object = {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "3"}}}
    NODES.default(less)
    assert less["status"]["allocatable"] == {"cpu": "3"}


def test_what_a_node_is_told_once() -> None:
    old = {"metadata": {"name": "n"}, "spec": {"podCIDR": "10.0.0.0/24", "providerID": "a"}}
    new = {"metadata": {"name": "n"}, "spec": {"podCIDR": "10.0.1.0/24", "providerID": "b", "externalID": "c"}}
    once = 'Forbidden: node updates may not change {} except from "" to valid'
    assert on_update(NODES, new, old) == [
        f"spec.podCIDRs: {once.format('podCIDR')}",
        f"spec.providerID: {once.format('providerID')}",
        "spec.externalID: Forbidden: may not be updated",
    ]
    assert on_update(NODES, old, {"metadata": {"name": "n"}, "spec": {}}) == []
    status = {"capacity": {"cpu": "-1", "pods": "1500m"}, "addresses": [{"type": "InternalIP", "address": "a"}] * 2}
    assert lines(NODES.validate_status({"status": status}, {})) == [
        f'status.capacity.cpu: Invalid value: "-1": {NOT_NEGATIVE}',
        'status.capacity.pods: Invalid value: "1500m": must be an integer',
        'status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"a"}',
    ]


SELECTOR = "spec.scopeSelector.matchExpressions"


def selecting(**entry: Any) -> Object:
    return {"scopeSelector": {"matchExpressions": [entry]}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hard": {"pods": "1", "requests.nvidia.com/gpu": "1", "count/deployments.apps": "1"}}, []),
        ({"hard": {"cpu": "-1", "pods": "1500m", "odd": "1"}}, [
            f'spec.hard[cpu]: Invalid value: "-1": {NOT_NEGATIVE}',
            'spec.hard[pods]: Invalid value: "1500m": must be an integer',
            'spec.hard[odd]: Invalid value: "odd": must be a standard resource type or fully qualified',
            'spec.hard[odd]: Invalid value: "odd": must be a standard resource for quota']),
        ({"hard": {"cpu": "1"}, "scopes": ["BestEffort", "NotBestEffort", "Odd"]}, [
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Odd"]: unsupported scope applied to resource',
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Odd"]: unsupported scope',
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Odd"]: conflicting scopes']),
        (selecting(scopeName="PriorityClass", operator="In"), [
            f"{SELECTOR}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for"
            " scope selector"]),
        (selecting(scopeName="BestEffort", operator="In", values=["a"]), [
            f'{SELECTOR}.operator: Invalid value: "In": must be \'Exists\' when scope is any of'
            " ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort,"
            " ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"]),
        (selecting(scopeName="PriorityClass", operator="Exists", values=["a"]), [
            f'{SELECTOR}.values: Invalid value: ["a"]: must be no value when `operator` is \'Exist\' or'
            " 'DoesNotExist' for scope selector"]),
        ({"hard": {"secrets": "1"}, **selecting(scopeName="PriorityClass", operator="Odd")}, [
            f'{SELECTOR}: Invalid value: {{"MatchExpressions":[{{"ScopeName":"PriorityClass","Operator":"Odd",'
            '"Values":null}]}: unsupported scope applied to resource',
            f'{SELECTOR}.operator: Invalid value: "Odd": not a valid selector operator']),
    ],
)  # fmt: skip
def test_a_quota(spec: Object, expected: list[str]) -> None:
    made = {"metadata": {"name": "q"}, "spec": spec}
    assert on_create(QUOTAS, made) == expected
    changed = on_update(QUOTAS, made, {"metadata": {"name": "q"}, "spec": {"scopes": ["Terminating"]}})
    assert changed[-1].endswith(IMMUTABLE)


def test_a_range_of_limits_names_what_there_is() -> None:
    item = {"type": "Container", "max": {"storage": "1"}}
    assert on_create(RANGES, {"metadata": {"name": "l"}, "spec": {"limits": [item]}})[0] == (
        'spec.limits[0].max[storage]: Invalid value: "storage": must be a standard resource for containers'
    )
    item = {"type": "PersistentVolumeClaim", "max": {"storage": "1"}}
    assert on_create(RANGES, {"metadata": {"name": "l"}, "spec": {"limits": [item]}}) == []


def test_endpoints() -> None:
    subset = {
        "addresses": [{"ip": "127.0.0.1", "nodeName": "A", "hostname": "a.b"}],
        "ports": [{"port": 0}, {"name": "b", "port": 1, "protocol": "Odd"}],
    }
    found = on_create(ENDPOINTS, {"metadata": {"name": "e"}, "subsets": [{}, subset]})
    assert [line.partition(": ")[0] for line in found] == [
        "subsets[0]", "subsets[1].addresses[0].hostname", "subsets[1].addresses[0].nodeName",
        "subsets[1].addresses[0].ip", "subsets[1].ports[0].name", "subsets[1].ports[0].port",
        "subsets[1].ports[1].protocol",
    ]  # fmt: skip
    assert found[0] == "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"
    old = {"metadata": {"name": "e"}, "subsets": [{"addresses": [{"ip": "010.0.0.1"}]}]}
    assert on_create(ENDPOINTS, old) == [
        'subsets[0].addresses[0].ip: Invalid value: "010.0.0.1": must not have leading 0s'
    ]
    assert on_update(ENDPOINTS, old, old) == []
    assert ENDPOINTS.warnings(old) == [
        'subsets[0].addresses[0].ip: non-standard IP address "010.0.0.1" will be considered invalid in a future'
        ' Kubernetes release: use "10.0.0.1"'
    ]
    of_controller = {"labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}}
    assert ENDPOINTS.warnings({**old, "metadata": of_controller}) == []


def test_an_endpoint_slice() -> None:
    hints = {"forZones": [{"name": "a"}, {"name": "a"}], "forNodes": [{"name": str(number)} for number in range(9)]}
    endpoint = {"addresses": ["10.0.0.1"], "nodeName": "A_", "hints": hints}
    made = {"metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": [endpoint], "ports": [{"protocol": "Odd"}]}
    found = on_create(SLICES, made)
    assert found[0].startswith('endpoints[0].nodeName: Invalid value: "A_": a lowercase RFC 1123 subdomain')
    assert found[1:] == [
        'endpoints[0].hints.forZones[1].name: Duplicate value: "a"',
        "endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items",
        'ports[0].protocol: Unsupported value: "Odd": supported values: "SCTP", "TCP", "UDP"',
    ]
    assert on_update(SLICES, {**made, "endpoints": [], "ports": [], "addressType": "IPv6"}, made) == [
        f'addressType: Invalid value: "IPv6": {IMMUTABLE}'
    ]


def test_an_exact_event_tells_who_saw_what() -> None:
    made = {"metadata": {"name": "e", "namespace": "default"}, "eventTime": "2026-01-01T00:00:00Z", "reason": "r" * 129}
    found = on_create(EVENTS, made)
    assert found[0] == "reportingComponent: Required value"
    assert found[-3:] == [
        "reportingInstance: Required value",
        "action: Required value",
        'reason: Invalid value: "": can have at most 128 characters',
    ]


EXACT: Object = {
    "metadata": {"name": "e", "namespace": "default"},
    "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingComponent": "a.io/c",
    "reportingInstance": "i",
    "action": "A",
    "reason": "R",
    "type": "Normal",
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"eventTime": None}, ["eventTime: Required value"]),
        ({"type": "Odd"}, ['type: Invalid value: "": has invalid value: Odd']),
        ({"reportingComponent": ""}, ["reportingController: Required value"]),
        ({"count": 1}, ['count: Invalid value: "": needs to be unset']),
        ({"source": {"component": "c"}}, ['source: Invalid value: "": needs to be unset']),
        ({"source": {}, "count": 0, "firstTimestamp": None}, []),
        (
            {"series": {"count": 1, "lastObservedTime": None}},
            ['series.count: Invalid value: "": should be at least 2', "series.lastObservedTime: Required value"],
        ),
    ],
)
def test_an_event_of_the_new_version_has_no_old_fields(change: Object, said: list[str]) -> None:
    found = on_create(NEW_EVENTS, {**EXACT, **change})
    assert [line for line in found if "name part" not in line] == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}}, []),
        ({"series": {"count": 1, "lastObservedTime": "x"}}, ['series.count: Invalid value: "": should be at least 2']),
        ({"message": "m"}, [f'message: Invalid value: "m": {IMMUTABLE}']),
        ({"reason": "S"}, [f'reason: Invalid value: "S": {IMMUTABLE}'] * 2),
        ({"source": {"host": "h"}}, [f'source: Invalid value: {{"Component":"","Host":"h"}}: {IMMUTABLE}']),
        ({"reportingComponent": "b"}, [f'reportingController: Invalid value: "b": {IMMUTABLE}']),
    ],
)
def test_of_an_event_of_the_new_version_the_series_changes_alone(change: Object, said: list[str]) -> None:
    assert on_update(NEW_EVENTS, {**EXACT, **change}, EXACT) == said


def test_a_namespace_has_its_label_also_where_its_name_is_generated_after_the_defaults() -> None:
    namespace: Object = {"metadata": {"generateName": "x-"}}
    NAMESPACES.default(namespace)
    assert "labels" not in namespace["metadata"]
    namespace["metadata"]["name"] = "x-1"
    NAMESPACES.prepare_create(namespace)
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x-1"}
