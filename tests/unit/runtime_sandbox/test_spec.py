"""What CRI's configuration becomes in the OCI specification."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from machinery.rpc.wire import CRI
from machinery.structs import replace
from runtime.errors import InvalidArgument
from runtime.sandbox.spec import (
    DEFAULT_CAPABILITIES,
    Host,
    Surroundings,
    container_spec,
    environment,
    mounts,
    process,
    resources,
)
from runtime.sandbox.users import Identity

HOST = Host(
    frozenset({*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN", "CAP_NET_ADMIN"}), 0, is_unified=False, counts_swap=False
)
RUNS = {"Cmd": ["true"]}
AROUND = Surroundings({"network": Path("/ns/net"), "pid": Path("/ns/pid")}, "/a/b", {"/etc/hosts": Path("/s/hosts")})


def make(name: str, /, **values: Any) -> Any:
    return CRI.message(f"runtime.v1.{name}")(**values)


def security(**values: Any) -> Any:
    context = make("LinuxContainerSecurityContext", **values)
    return make("ContainerConfig", linux=make("LinuxContainerConfig", security_context=context))


@pytest.mark.parametrize(
    ("command", "args", "argv"),
    [
        ([], [], ["entry", "default"]),
        ([], ["arg"], ["entry", "arg"]),
        (["cmd"], [], ["cmd"]),
        (["cmd"], ["arg"], ["cmd", "arg"]),
    ],
)
def test_a_command_replaces_entrypoint_and_arguments_of_the_image(
    command: list[str], args: list[str], argv: list[str]
) -> None:
    config = make("ContainerConfig", command=command, args=args)
    image = {"Entrypoint": ["entry"], "Cmd": ["default"]}
    assert process(config, image, Identity(), HOST)["args"] == argv


def test_an_empty_entrypoint_is_none_and_no_command_at_all_is_refused() -> None:
    image = {"Entrypoint": [""], "Cmd": ["default"]}
    assert process(make("ContainerConfig"), image, Identity(), HOST)["args"] == ["default"]
    with pytest.raises(InvalidArgument, match="no command specified"):
        process(make("ContainerConfig"), {}, Identity(), HOST)


def test_the_environment_is_the_images_and_what_is_given_over_it() -> None:
    config = make("ContainerConfig", envs=[make("KeyValue", key="A", value=b"mine")])
    found = environment(config, {"Env": ["A=image", "B=b=c"]}, "/root", "web-0")
    assert found.pop("PATH").startswith("/usr/local/sbin:")
    assert found == {"HOSTNAME": "web-0", "A": "mine", "B": "b=c", "HOME": "/root"}


def test_what_programs_count_on_is_what_the_image_or_the_pod_says_of_it() -> None:
    config = make("ContainerConfig", envs=[make("KeyValue", key="HOSTNAME", value=b"other")], tty=True)
    image = {"Env": ["PATH=/bin", "HOME=/home/web"]}
    found = {"PATH": "/bin", "TERM": "xterm", "HOSTNAME": "other", "HOME": "/home/web"}
    assert environment(config, image, "/root", "web-0") == found


@pytest.mark.parametrize(
    ("add", "drop", "has", "lacks"),
    [
        ([], [], "CAP_CHOWN", "CAP_SYS_ADMIN"),
        (["SYS_ADMIN"], [], "CAP_SYS_ADMIN", "CAP_NET_ADMIN"),
        (["NET_BIND_SERVICE"], ["ALL"], "CAP_NET_BIND_SERVICE", "CAP_CHOWN"),
        (["ALL"], ["CHOWN"], "CAP_NET_ADMIN", "CAP_CHOWN"),
        (["SYS_TIME"], [], "CAP_CHOWN", "CAP_SYS_TIME"),
    ],
)
def test_capabilities_are_added_and_dropped_within_what_the_host_has(
    add: list[str], drop: list[str], has: str, lacks: str
) -> None:
    config = security(capabilities=make("Capability", add_capabilities=add, drop_capabilities=drop))
    found = process(config, RUNS, Identity(), HOST)["capabilities"]["bounding"]
    assert has in found and lacks not in found


@pytest.mark.parametrize(("mode", "shares"), [(0, "/ns/pid"), (1, None), (2, "absent")])
def test_processes_are_shared_only_where_asked_for(mode: int, shares: str | None) -> None:
    config = security(namespace_options=make("NamespaceOption", pid=mode))
    spec = container_spec(config, RUNS, Path("/rootfs"), Identity(), AROUND, HOST)
    found = {entry["type"]: entry.get("path") for entry in spec["linux"]["namespaces"]}
    assert found["network"] == "/ns/net"
    assert found.get("pid", "absent") == shares


def test_a_score_below_what_may_be_set_is_clamped() -> None:
    config = make("ContainerConfig")
    config.linux.resources.oom_score_adj = -997
    assert process(config, RUNS, Identity(), HOST)["oomScoreAdj"] == 0


def test_outer_mounts_come_before_inner_ones_and_replace_the_sandboxes_files() -> None:
    config = make(
        "ContainerConfig",
        mounts=[
            make("Mount", container_path="/data/inner", host_path="/i"),
            make("Mount", container_path="/data", host_path="/d", readonly=True, propagation=1),
            make("Mount", container_path="/etc/hosts", host_path="/h"),
        ],
    )
    spec = container_spec(config, RUNS, Path("/rootfs"), Identity(), AROUND, HOST)
    binds = [(entry["destination"], entry["source"]) for entry in spec["mounts"] if entry["type"] == "bind"]
    assert binds == [("/data", "/d"), ("/data/inner", "/i"), ("/etc/hosts", "/h")]
    outer = next(entry for entry in spec["mounts"] if entry["destination"] == "/data")
    assert outer["options"] == ["rbind", "rslave", "ro"]
    assert spec["linux"]["rootfsPropagation"] == "rslave"


@pytest.mark.parametrize(("readonly", "hosts"), [(False, "rw"), (True, "ro")])
def test_the_sandboxes_files_are_read_only_where_the_root_is(readonly: bool, hosts: str) -> None:  # noqa: FBT001
    around = replace(AROUND, files={**AROUND.files, "/dev/shm": Path("/s/shm")})
    found = mounts(security(readonly_rootfs=readonly), around, HOST)
    access = {entry["destination"]: entry["options"][-1] for entry in found if entry["type"] == "bind"}
    assert access == {"/etc/hosts": hosts, "/dev/shm": "rw"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"readonly": False}, 'recursive read-only mount conflicts with RW mount (hostPath="/d")'),
        (
            {"readonly": True, "propagation": 2},
            'recursive read-only mount needs private propagation, got "PROPAGATION_BIDIRECTIONAL" (hostPath="/d")',
        ),
    ],
)
def test_a_mount_that_could_be_written_below_is_not_called_read_only(values: Any, words: str) -> None:
    mount = make("Mount", container_path="/m", host_path="/d", recursive_read_only=True, **values)
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        mounts(make("ContainerConfig", mounts=[mount]), AROUND, HOST)


def test_limits_that_are_absent_are_left_to_the_kernel() -> None:
    assert resources(make("LinuxContainerResources"), HOST) == {}
    asked = make("LinuxContainerResources", cpu_shares=2, cpu_period=100000, memory_limit_in_bytes=1 << 20)
    assert resources(asked, HOST) == {"cpu": {"shares": 2}, "memory": {"limit": 1 << 20}}


@pytest.mark.parametrize(
    ("asked", "memory"),
    [
        ({"memory_limit_in_bytes": 5}, {"limit": 5, "swap": 5}),
        ({"memory_limit_in_bytes": 5, "memory_swap_limit_in_bytes": 9}, {"limit": 5, "swap": 9}),
        ({"memory_swap_limit_in_bytes": 9}, {"swap": 9}),
    ],
)
def test_a_limit_of_memory_is_one_of_swap_too_where_that_is_counted(asked: Any, memory: dict[str, int]) -> None:
    assert resources(make("LinuxContainerResources", **asked), replace(HOST, counts_swap=True)) == {"memory": memory}
