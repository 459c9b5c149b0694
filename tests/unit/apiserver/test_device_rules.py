"""Rules of devices: what each wrong value of classes, claims and slices is refused with."""

from __future__ import annotations

import pytest

from machinery.api.resource import Object
from tests.kind_rules import lines, on_create, on_update, rules_of

GROUP = "resource.k8s.io"
CLAIMS, TEMPLATES = rules_of(GROUP, "v1", "resourceclaims"), rules_of(GROUP, "v1", "resourceclaimtemplates")
CLASSES, SLICES = rules_of(GROUP, "v1", "deviceclasses"), rules_of(GROUP, "v1", "resourceslices")
EXACTLY = {"deviceClassName": "c"}
REQUEST = {"name": "r", "exactly": EXACTLY}
ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
BAD_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


@pytest.mark.parametrize(
    ("devices", "errors"),
    [
        ({"requests": [REQUEST]}, []),
        ({"requests": [{"name": "r"}]}, [f"requests[0]: Required value: {ONE_KIND}"]),
        ({"requests": [{**REQUEST, "firstAvailable": [{"name": "a", **EXACTLY}]}]},
         [f"requests[0]: Invalid value: null: {ONE_KIND}, but multiple fields are set"]),
        ({"requests": [{"name": "r", "exactly": {"allocationMode": "All", "count": 2, "selectors": [{}]}}]},
         ["requests[0].exactly.deviceClassName: Required value", "requests[0].exactly.selectors[0].cel: Required value",
          "requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"]),
        ({"requests": [{"name": "r", "exactly": {**EXACTLY, "allocationMode": "Odd"}}, REQUEST]},
         ['requests[0].exactly.allocationMode: Unsupported value: "Odd": supported values: "All", "ExactCount"',
          'requests[1]: Duplicate value: "r"']),
        ({"requests": [{"exactly": {
            **EXACTLY, "tolerations": [{"operator": "Exists", "value": "v"}, {"effect": "E"}]}}]},
         ["requests[0].name: Required value",
          'requests[0].exactly.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`',
          'requests[0].exactly.tolerations[1].effect: Unsupported value: "E": supported values: "NoExecute",'
          ' "NoSchedule", "None"']),
        ({"requests": [REQUEST], "constraints": [{"requests": ["x"], "matchAttribute": "a"}]},
         [f'constraints[0].requests[0]: Invalid value: "x": {BAD_REQUEST}',
          'constraints[0].matchAttribute: Invalid value: "a": a fully qualified name must be a domain and a name'
          " separated by a slash"]),
        ({"requests": [REQUEST], "config": [{"requests": ["r"]}, {"opaque": {"driver": "d"}}]},
         ["config[0].opaque: Required value", "config[1].opaque.parameters: Required value"]),
    ],
)  # fmt: skip
def test_a_claim(devices: Object, errors: list[str]) -> None:
    assert on_create(CLAIMS, {"spec": {"devices": devices}}) == [f"spec.devices.{error}" for error in errors]
    made = {"spec": {"spec": {"devices": devices}}}
    assert on_create(TEMPLATES, made) == [f"spec.spec.devices.{error}" for error in errors]


def test_a_claim_stays_as_it_is() -> None:
    old = {"spec": {"devices": {"requests": [REQUEST]}}}
    (said,) = on_update(CLAIMS, {"spec": {}}, old)
    assert said == "spec: Invalid value: {}: field is immutable"


def test_who_may_use_a_claim() -> None:
    consumer = {"resource": "pods", "name": "p", "uid": "u"}
    new: Object = {"metadata": {}, "status": {"reservedFor": [consumer, {}]}}
    assert lines(CLAIMS.validate_status(new, {})) == [
        *(f"status.reservedFor[1].{field}: Required value" for field in ("resource", "name", "uid")),
        "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
    ]
    dying: Object = {"metadata": {"deletionTimestamp": "t"}, "status": {"reservedFor": [consumer], "allocation": {}}}
    assert lines(CLAIMS.validate_status(dying, {"status": {"allocation": {}}})) == [
        "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or"
        " `deletionTimestamp` are set"
    ]


RESULT = {"request": "r", "driver": "d", "pool": "p", "device": "x"}
DEVICE = {"driver": "d", "pool": "p", "device": "x"}
SHARE = "123e4567-e89b-12d3-a456-426614174000"
BAD_SHARE = "must be a lowercase UUID in 8-4-4-4-12 format"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def _claim(**status: object) -> Object:
    return {"metadata": {}, "spec": {"devices": {"requests": [REQUEST]}}, "status": status}


@pytest.mark.parametrize(
    ("result", "errors"),
    [
        ({}, []),
        ({"shareID": SHARE, "bindingConditions": ["a"], "bindingFailureConditions": ["b"]}, []),
        ({"request": "x"}, [f'request: Invalid value: "x": {BAD_REQUEST}']),
        ({"request": "r/"},
         [f'request: Invalid value: "": {LABEL}', f'request: Invalid value: "r/": {BAD_REQUEST}']),
        ({"driver": "", "pool": "", "device": "", "shareID": SHARE.upper()},
         ["driver: Required value", "pool: Required value", f'device: Invalid value: "": {LABEL}',
          f'shareID: Invalid value: "{SHARE.upper()}": {BAD_SHARE}']),
        ({"bindingConditions": ["a", "a"]},
         ['bindingConditions[1]: Duplicate value: "a"',
          "bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use"
          " bindingConditions"]),
        ({"bindingConditions": ["a"], "bindingFailureConditions": ["a"]},
         ['bindingFailureConditions[0]: Invalid value: "a": bindingFailureConditions must not overlap with'
          " bindingConditions"]),
        ({"bindingFailureConditions": [*"abcde"]},
         ["bindingFailureConditions: Too many: 5: must have at most 4 items",
          "bindingConditions: Invalid value: null: bindingConditions are required to use bindingFailureConditions"]),
    ],
)  # fmt: skip
def test_what_a_claim_got(result: Object, errors: list[str]) -> None:
    new = _claim(allocation={"devices": {"results": [{**RESULT, **result}]}})
    found = lines(CLAIMS.validate_status(new, {}))
    assert found == [f"status.allocation.devices.results[0].{error}" for error in errors]


def test_with_what_a_claims_devices_are_prepared() -> None:
    opaque = {"driver": "d", "parameters": [1]}
    new = _claim(allocation={
        "devices": {"config": [{"requests": ["x"], "opaque": opaque}, {"source": "Odd", "opaque": None}]},
        "nodeSelector": {},
    })  # fmt: skip
    config = "status.allocation.devices.config"
    assert lines(CLAIMS.validate_status(new, {})) == [
        f"{config}[0].source: Required value",
        f'{config}[0].requests[0]: Invalid value: "x": {BAD_REQUEST}',
        f'{config}[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
        f'{config}[1].source: Unsupported value: "Odd": supported values: "FromClaim", "FromClass"',
        f"{config}[1].opaque: Required value",
        "status.allocation.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term",
    ]


@pytest.mark.parametrize(
    ("device", "errors"),
    [
        ({"networkData": {"ips": ["10.0.0.1/8", "fd00::1/64"], "interfaceName": "eth0"}, "data": {"a": 1}}, []),
        ({"device": "y"},
         [': Invalid value: {"Driver":"d","Pool":"p","Device":"y","ShareID":""}: must be an allocated device in the'
          " claim"]),
        ({"conditions": [{}] * 9}, [".conditions: Too many: 9: must have at most 8 items"]),
        ({"data": 1}, ['.data: Invalid value: "<value omitted>": must be a valid JSON object']),
        ({"data": {"a": "b" * 10240}}, [".data: Too long: may not be more than 10240 bytes"]),
        ({"networkData": {"interfaceName": "e" * 257, "ips": ["10.0.0.1", "::ffff:10.0.0.1/104", "FD00::1/64"]}},
         [".networkData.interfaceName: Too long: may not be more than 256 bytes",
          '.networkData.ips[0]: Invalid value: "10.0.0.1": must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or'
          " 2001:db8::1/64)",
          '.networkData.ips[1]: Invalid value: "::ffff:10.0.0.1/104": must be in canonical form ("10.0.0.1/8")',
          '.networkData.ips[2]: Invalid value: "FD00::1/64": must be in canonical form ("fd00::1/64")']),
    ],
)  # fmt: skip
def test_what_is_told_of_a_claims_device(device: Object, errors: list[str]) -> None:
    new = _claim(allocation={"devices": {"results": [RESULT]}}, devices=[{**DEVICE, **device}])
    found = [line for line in lines(CLAIMS.validate_status(new, {})) if ".conditions[" not in line]
    assert found == [f"status.devices[0]{error}" for error in errors]


def test_a_claims_devices_are_told_of_once_and_while_it_has_them() -> None:
    allocation = {"devices": {"results": [RESULT]}}
    twice = _claim(allocation=allocation, devices=[DEVICE, DEVICE])
    assert lines(CLAIMS.validate_status(twice, {})) == [
        'status.devices[1]: Duplicate value: {"Driver":"d","Pool":"p","Device":"x","ShareID":""}'
    ]
    freed = _claim(devices=[DEVICE])
    CLAIMS.prepare_status(freed, _claim(allocation=allocation, devices=[DEVICE]))
    assert freed["status"] == {}
    other = _claim(devices=[DEVICE, {**DEVICE, "shareID": SHARE}])
    CLAIMS.prepare_status(other, _claim(allocation=allocation))
    assert other["status"] == {"devices": [{**DEVICE, "shareID": SHARE}]}


def test_a_class() -> None:
    spec = {"selectors": [{"cel": {"expression": "x" * 10241}}], "config": [{}], "extendedResourceName": "cpu"}
    assert on_create(CLASSES, {"spec": spec}) == [
        "spec.selectors[0].cel.expression: Too long: may not be more than 10240 bytes",
        "spec.config[0].opaque: Required value",
        'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name',
    ]


POOL = {"name": "p", "resourceSliceCount": 1}
ON_ONE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


OWN_PLACE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true"
    " in the ResourceSlice spec"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"devices": [{"name": "d", "attributes": {"a": {"int": 1}, "v": {"version": "1.2.3-a.1+b"}}}]}, []),
        ({"driver": "", "pool": {"generation": -1}},
         [".driver: Required value", ".pool.name: Required value",
          ".pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
          ".pool.generation: Invalid value: -1: must be greater than or equal to zero"]),
        ({"nodeName": None}, [f": Required value: {ON_ONE}"]),
        ({"allNodes": True}, [f': Invalid value: "{{`nodeName`, `allNodes`}}": {ON_ONE}, but multiple fields are set']),
        ({"devices": [], "sharedCounters": [{}]},
         [': Invalid value: "": only one of `sharedCounters` or `devices` is allowed',
          ".sharedCounters[0].name: Required value", ".sharedCounters[0].counters: Required value"]),
        ({"devices": [{"name": "d", "capacity": {"a": {"requestPolicy": {}}},
                       "taints": [{"key": "k", "value": "-", "effect": "Odd"}]}]},
         [".devices[0].capacity[a].requestPolicy: Forbidden: allowMultipleAllocations must be true",
          f'.devices[0].taints[0].value: Invalid value: "-": {LABEL_VALUE}',
          '.devices[0].taints[0].effect: Unsupported value: "Odd": supported values: "NoExecute", "NoSchedule",'
          ' "None"']),
        ({"devices": [{"name": "d", "attributes": {"a/": {}, "v": {"version": "1.2"}}}, {"name": "d"}]},
         ['.devices[0].attributes[a/]: Invalid value: "": the name must not be empty',
          '.devices[0].attributes[a/]: Invalid value: "": exactly one value must be specified',
          '.devices[0].attributes[v].version: Invalid value: "1.2": must be a string compatible with semver.org spec'
          " 2.0.0",
          '.devices[1]: Duplicate value: "d"']),
        ({"devices": [{"name": "d", "consumesCounters": [{}, {"counterSet": "s", "counters": {"-": {}}}],
                       "bindingConditions": ["a"]}]},
         [".devices[0].consumesCounters[0].counterSet: Required value",
          ".devices[0].consumesCounters[0].counters: Required value",
          f'.devices[0].consumesCounters[1].counters[-]: Invalid value: "-": {LABEL}',
          ".devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use"
          " bindingConditions"]),
        ({"devices": [{"name": "d", "nodeName": "n"}]},
         [".devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if"
          " `perDeviceNodeSelection` is set to true in the ResourceSlice spec"]),
        ({"nodeName": None, "perDeviceNodeSelection": True,
          "devices": [{"name": "a"}, {"name": "b", "nodeName": "n", "allNodes": True}, {"name": "c", "nodeName": "n"}]},
         [f".devices[0]: Required value: {OWN_PLACE}",
          f'.devices[1]: Invalid value: "{{`nodeName`, `allNodes`}}": {OWN_PLACE}']),
    ],
)  # fmt: skip
def test_a_slice(fields: Object, errors: list[str]) -> None:
    spec = {"driver": "d.io", "pool": POOL, "nodeName": "n", **fields}
    assert on_create(SLICES, {"spec": spec}) == [f"spec{error}" for error in errors]


@pytest.mark.parametrize(
    ("policy", "errors"),
    [
        ({}, []),
        ({"default": "2", "validValues": ["1", "2"]}, []),
        ({"default": "2", "validRange": {"min": "1", "max": "4", "step": "1"}}, []),
        ({"validValues": ["1"], "validRange": {"min": "1"}},
         [': Forbidden: exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same'
          " time"]),
        ({"validValues": ["1"]}, [".default: Required value: required when validValues is defined"]),
        ({"validRange": {}}, [".default: Required value: required when validRange is defined"]),
        ({"default": "3", "validValues": ["9", "1", "1"]},
         ['.validValues[1]: Invalid value: "1": values must be sorted in ascending order',
          '.validValues[0]: Invalid value: "9": option is larger than capacity value: 8',
          '.validValues[2]: Duplicate value: "1"',
          '.validValues: Invalid value: "3": default value is not valid according to the requestPolicy']),
        ({"default": "1", "validValues": ["1"] * 11},
         [".validValues: Too many: 11: must have at most 10 items",
          '.validValues: Invalid value: "1": default value is not valid according to the requestPolicy']),
        ({"default": "1", "validRange": {"max": "2"}},
         [".validRange.min: Required value: required when validRange is defined"]),
        ({"default": "1", "validRange": {"min": "9", "max": "10", "step": "3"}},
         ['.validRange.min: Invalid value: "9": min is larger than capacity value: 8',
          '.validRange.min: Invalid value: "1": default is less than min: 9',
          '.validRange.max: Invalid value: "10": max is larger than capacity value: 8',
          '.validRange.step: Invalid value: "3": one step 12 is larger than capacity value: 8',
          '.validRange.step: Invalid value: "1": value is not a multiple of a given step (3) from (9)',
          '.validRange.step: Invalid value: "10": value is not a multiple of a given step (3) from (9)']),
        ({"default": "4", "validRange": {"min": "3", "max": "2"}},
         ['.validRange.max: Invalid value: "3": min is larger than max: 2',
          '.validRange.max: Invalid value: "4": default is more than max: 2']),
    ],
)  # fmt: skip
def test_how_much_of_a_capacity_may_be_asked_for(policy: Object, errors: list[str]) -> None:
    capacity = {"a": {"value": "8", "requestPolicy": policy}}
    device = {"name": "d", "allowMultipleAllocations": True, "capacity": capacity}
    spec = {"driver": "d.io", "pool": POOL, "nodeName": "n", "devices": [device]}
    path = "spec.devices[0].capacity[a].requestPolicy"
    assert on_create(SLICES, {"spec": spec}) == [f"{path}{error}" for error in errors]


def test_a_slices_place_stays() -> None:
    old = {"spec": {"driver": "d.io", "pool": POOL, "nodeName": "n"}}
    new = {"spec": {"driver": "d.io", "pool": {**POOL, "name": "q"}, "nodeName": "m"}}
    assert on_update(SLICES, new, old) == [
        'spec.pool.name: Invalid value: "q": field is immutable',
        'spec.nodeName: Invalid value: "m": field is immutable',
    ]
