"""Pods that differ in the names by chance of their token volumes are judged by one of them, all others alone."""

from __future__ import annotations

import pytest

from apiserver.rules.pods.token_name import without_chance
from machinery.api.resource import Object
from tests.unit.apiserver.pod_examples import container, pod, refusals

_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def _with_token(mounted: str, *volumes: str) -> Object:
    sources = [{"configMap": {"name": "kube-root-ca.crt"}}]
    mounts = [{"name": mounted, "mountPath": _PATH}]
    declared = [{"name": each, "projected": {"sources": sources}} for each in volumes]
    return pod({"containers": [container(volumeMounts=mounts)], "volumes": declared})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'["kube-api-access-bcdfg", "kube-api-access-bcdfg"]', b'["kube-api-access-00000", "kube-api-access-00000"]'),
        (b'["kube-api-access-bcdfg", "kube-api-access-hjklm"]', b'["kube-api-access-bcdfg", "kube-api-access-hjklm"]'),
        (b'["kube-api-access-bcdfg", "kube-api-access-00000"]', b'["kube-api-access-bcdfg", "kube-api-access-00000"]'),
        (b'["kube-api-access-bcdfgh"]', b'["kube-api-access-bcdfgh"]'),
        (b'["x"]', b'["x"]'),
    ],
)
def test_only_one_name_gives_way(body: bytes, expected: bytes) -> None:
    assert without_chance(body) == expected


def test_a_mount_of_another_pods_token_is_refused_after_sound_pods() -> None:
    for name in ("kube-api-access-bcdfg", "kube-api-access-hjklm"):
        assert refusals(_with_token(name, name)) == []
    not_found = 'spec.containers[0].volumeMounts[0].name: Not found: "kube-api-access-bcdfg"'
    assert refusals(_with_token("kube-api-access-bcdfg", "kube-api-access-hjklm")) == [not_found]
    assert refusals(_with_token("kube-api-access-bcdfg")) == [not_found]


def test_a_pods_name_has_its_say_where_claims_are_named_after_it() -> None:
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
    volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": claim}}]
    sound = pod({"volumes": volumes})
    assert refusals(sound) == []
    sound["metadata"]["name"] = "x" * 252
    assert any("PVC name" in line for line in refusals(sound))
