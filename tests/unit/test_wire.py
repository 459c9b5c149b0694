"""Every description builds, and what is written is read again."""

from __future__ import annotations

import pytest

from machinery.rpc.go_json import plain
from machinery.rpc.wire import CGROUP_METRICS, CONTAINERD, CRI, ETCD, OPENAPI_V2, Wire


@pytest.mark.parametrize("wire", [CRI, ETCD, CONTAINERD, CGROUP_METRICS, OPENAPI_V2])
def test_every_message_of_a_description_can_be_made(wire: Wire) -> None:
    for name in wire._facts["messages"]:
        wire.message(name)()
    for methods in wire._facts.get("services", {}).values():
        for name in (message.removeprefix("stream ") for pair in methods.values() for message in pair):
            wire.message(name)()


def test_nested_maps_and_enums_survive_the_wire() -> None:
    make = CRI.message
    config = make("runtime.v1.PodSandboxConfig")(
        metadata=make("runtime.v1.PodSandboxMetadata")(name="n", uid="u", namespace="ns", attempt=2),
        labels={"a": "b"},
    )
    request = make("runtime.v1.RunPodSandboxRequest")(config=config)
    again = make("runtime.v1.RunPodSandboxRequest").FromString(request.SerializeToString())
    assert again.config.metadata.attempt == 2
    assert dict(again.config.labels) == {"a": "b"}
    assert CRI.enum("runtime.v1.ContainerState")["CONTAINER_RUNNING"] == 1
    assert CRI.enum_name("runtime.v1.ContainerState", 1) == "CONTAINER_RUNNING"


def test_a_oneof_holds_one() -> None:
    compare = ETCD.message("etcdserverpb.Compare")(key=b"k", mod_revision=0)
    assert compare.WhichOneof("target_union") == "mod_revision"


def test_a_message_is_told_as_go_would_write_its_struct() -> None:
    config = CRI.message("runtime.v1.ContainerConfig")(
        metadata={"name": "c"},
        envs=[{"key": "K", "value": b"v"}],
        mounts=[{"container_path": "/m", "propagation": 2, "uidMappings": [{"length": 1}]}],
        labels={"a": "b"},
        linux={"resources": {"memory_limit_in_bytes": 1 << 40}, "security_context": {}},
        tty=True,
    )
    assert plain(config) == {
        "metadata": {"name": "c"},
        "envs": [{"key": "K", "value": "dg=="}],
        "mounts": [{"container_path": "/m", "propagation": 2, "uidMappings": [{"length": 1}]}],
        "labels": {"a": "b"},
        "linux": {"resources": {"memory_limit_in_bytes": 1 << 40}, "security_context": {}},
        "tty": True,
    }
