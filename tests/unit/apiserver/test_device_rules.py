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
          'requests[1].name: Duplicate value: "r"']),
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


def test_a_class() -> None:
    spec = {"selectors": [{"cel": {"expression": "x" * 10241}}], "config": [{}], "extendedResourceName": "cpu"}
    assert on_create(CLASSES, {"spec": spec}) == [
        "spec.selectors[0].cel.expression: Too long: may not be more than 10240 bytes",
        "spec.config[0].opaque: Required value",
        'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name',
    ]


POOL = {"name": "p", "resourceSliceCount": 1}
ON_ONE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"devices": [{"name": "d", "attributes": {"a": {"int": 1}}}]}, []),
        ({"driver": "", "pool": {"generation": -1}},
         [".driver: Required value", ".pool.name: Required value",
          ".pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
          ".pool.generation: Invalid value: -1: must be greater than or equal to zero"]),
        ({"nodeName": None}, [f": Required value: {ON_ONE}"]),
        ({"allNodes": True}, [f': Invalid value: "{{`nodeName`, `allNodes`}}": {ON_ONE}, but multiple fields are set']),
        ({"devices": [], "sharedCounters": [{}]},
         [': Invalid value: "": only one of `sharedCounters` or `devices` is allowed',
          ".sharedCounters[0].name: Required value", ".sharedCounters[0].counters: Required value"]),
        ({"devices": [{"name": "d", "capacity": {"a": {"requestPolicy": {}}}, "taints": [{"effect": "Odd"}]}]},
         [".devices[0].capacity[a].requestPolicy: Forbidden: allowMultipleAllocations must be true",
          '.devices[0].taints[0].effect: Unsupported value: "Odd": supported values: "NoExecute", "NoSchedule",'
          ' "None"']),
        ({"devices": [{"name": "d", "attributes": {"a/": {}}}, {"name": "d"}]},
         ['.devices[0].attributes: Invalid value: "": the name must not be empty',
          '.devices[0].attributes[a/]: Invalid value: "": exactly one value must be specified',
          '.devices[1].name: Duplicate value: "d"']),
    ],
)  # fmt: skip
def test_a_slice(fields: Object, errors: list[str]) -> None:
    spec = {"driver": "d.io", "pool": POOL, "nodeName": "n", **fields}
    assert on_create(SLICES, {"spec": spec}) == [f"spec{error}" for error in errors]


def test_a_slices_place_stays() -> None:
    old = {"spec": {"driver": "d.io", "pool": POOL, "nodeName": "n"}}
    new = {"spec": {"driver": "d.io", "pool": {**POOL, "name": "q"}, "nodeName": "m"}}
    assert on_update(SLICES, new, old) == [
        'spec.pool.name: Invalid value: "q": field is immutable',
        'spec.nodeName: Invalid value: "m": field is immutable',
    ]
