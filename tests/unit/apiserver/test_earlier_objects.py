"""What an earlier release has stored under milder rules changes all the same, and no further for the worse."""

from __future__ import annotations

import copy

import pytest

from apiserver.registry.strategy import check_part_update, check_update
from machinery.api.errors import Invalid
from machinery.api.resource import Object
from machinery.api.resources import PODS
from tests.unit.apiserver.pod_examples import container, pod

STAMPED = {"uid": "u", "resourceVersion": "5", "creationTimestamp": "2026-01-01T00:00:00Z"}


@pytest.fixture
def stored() -> Object:
    bad = {"key": "a", "operator": "Exists", "value": "v"}
    return pod({"tolerations": [bad], "containers": [container(name="A")]}, finalizers=["a/b"], **STAMPED)


def test_finalizers_go_and_images_change(stored: Object) -> None:
    changed = copy.deepcopy(stored)
    changed["metadata"].pop("finalizers")
    check_update(changed, stored, PODS)
    changed["spec"]["containers"][0]["image"] = "other"
    check_update(changed, stored, PODS)
    check_part_update(changed, stored, PODS, "binding")


def test_only_what_is_wrong_anew_is_told(stored: Object) -> None:
    changed = copy.deepcopy(stored)
    changed["spec"]["containers"][0]["image"] = ""
    with pytest.raises(Invalid) as refused:
        check_update(changed, stored, PODS)
    assert refused.value.message == 'Pod "p" is invalid: spec.containers[0].image: Required value'
    changed = copy.deepcopy(stored)
    put_in = {"name": "d", "image": "i", "terminationMessagePolicy": "File", "imagePullPolicy": "Never"}
    changed["spec"]["ephemeralContainers"] = [put_in]
    check_part_update(changed, stored, PODS, "ephemeralcontainers")
    put_in["targetContainerName"] = "x"
    with pytest.raises(Invalid) as refused:
        check_part_update(changed, stored, PODS, "ephemeralcontainers")
    assert [cause.field for cause in refused.value.causes] == ["spec.ephemeralContainers[0].targetContainerName"]
