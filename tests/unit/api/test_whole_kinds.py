"""An object inside of another keeps its kind and version: manifests have them in a StatefulSet's claim templates."""

from __future__ import annotations

from typing import Any

import pytest

from machinery.api.canonical import canonical, sound
from machinery.api.resource import Object
from machinery.api.resources import STATEFUL_SETS
from machinery.api.type_errors import complaints

STATEFUL_SET = "k8s.io.api.apps.v1.StatefulSet"


def with_claim(**head: Any) -> Object:
    claim = {**head, "metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    spec = {"volumeClaimTemplates": [claim], "selector": {}, "serviceName": "s", "template": {}}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"}, "spec": spec}


def claim_of(obj: Object) -> Object:
    (claim,) = obj["spec"]["volumeClaimTemplates"]
    return dict(claim)


def test_kind_and_version_stay() -> None:
    head = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    kept = claim_of(canonical(with_claim(**head), STATEFUL_SETS))
    assert {key: kept[key] for key in head} == head
    strict = sound(with_claim(**head), STATEFUL_SET)
    assert strict is not None
    assert claim_of(strict) == kept


def test_they_need_not_be_said() -> None:
    assert "kind" not in claim_of(canonical(with_claim(), STATEFUL_SETS))
    assert "kind" not in claim_of(canonical(with_claim(kind="", apiVersion=None), STATEFUL_SETS))


@pytest.mark.parametrize(
    ("head", "strict", "types"),
    [
        ({"apiVersion": "v1", "kind": "PersistentVolumeClaim"}, [], 0),
        ({"kynd": "x"}, ['unknown field "spec.volumeClaimTemplates[0].kynd"'], 0),
        ({"kind": 1}, [], 1),
    ],
)
def test_what_go_complains_of(head: Object, strict: list[str], types: int) -> None:
    found = complaints(with_claim(**head), STATEFUL_SET)
    assert (found[0], len(found[1])) == (strict, types)
    assert (sound(with_claim(**head), STATEFUL_SET) is None) == bool(strict or types)
