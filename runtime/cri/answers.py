"""Records as CRI tells them: each function gives one message. Pure."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Mapping
from typing import Any

from machinery.rpc.wire import CRI
from runtime.sandbox.bundle import resources_message
from runtime.sandbox.records import ContainerRecord, SandboxRecord

SANDBOX_STATES = {"ready": 0, "creating": 1, "stopped": 1}
CONTAINER_STATES = {"creating": 0, "created": 0, "running": 1, "exited": 2}


def make(message: str, /, **values: Any) -> Any:
    return CRI.message(f"runtime.v1.{message}")(**values)


def sandbox_metadata(record: SandboxRecord) -> Any:
    return make(
        "PodSandboxMetadata", name=record.name, uid=record.uid, namespace=record.namespace, attempt=record.attempt
    )


def sandbox(record: SandboxRecord) -> Any:
    return make(
        "PodSandbox",
        id=record.id,
        metadata=sandbox_metadata(record),
        state=SANDBOX_STATES[record.state],
        created_at=record.created_at,
        labels=record.labels,
        annotations=record.annotations,
        runtime_handler=record.runtime_handler,
    )


def sandbox_status(record: SandboxRecord) -> Any:
    options = make(
        "NamespaceOption",
        network=2 if record.on_host_network else 0,
        pid=record.shares_pid,
        ipc=record.shares_ipc,
    )
    return make(
        "PodSandboxStatus",
        id=record.id,
        metadata=sandbox_metadata(record),
        state=SANDBOX_STATES[record.state],
        created_at=record.created_at,
        network=_network_status(record),
        linux=make("LinuxPodSandboxStatus", namespaces=make("Namespace", options=options)),
        labels=record.labels,
        annotations=record.annotations,
        runtime_handler=record.runtime_handler,
    )


def _network_status(record: SandboxRecord) -> Any:
    if record.state != "ready":
        return make("PodSandboxNetworkStatus")
    more = [make("PodIP", ip=address) for address in record.more_addresses]
    return make("PodSandboxNetworkStatus", ip=record.address, additional_ips=more)


def container(record: ContainerRecord) -> Any:
    return make(
        "Container",
        id=record.id,
        pod_sandbox_id=record.sandbox_id,
        metadata=make("ContainerMetadata", name=record.name, attempt=record.attempt),
        image=make("ImageSpec", image=record.image),
        image_ref=record.image_ref,
        state=CONTAINER_STATES[record.state],
        created_at=record.created_at,
        labels=record.labels,
        annotations=record.annotations,
        image_id=record.image_id,
    )


def container_status(record: ContainerRecord) -> Any:
    return make(
        "ContainerStatus",
        id=record.id,
        metadata=make("ContainerMetadata", name=record.name, attempt=record.attempt),
        state=CONTAINER_STATES[record.state],
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        exit_code=record.exit_code,
        image=make("ImageSpec", image=record.image),
        image_ref=record.image_ref,
        reason=record.reason,
        message=record.message,
        labels=record.labels,
        annotations=record.annotations,
        mounts=[make("Mount", **entry) for entry in record.mounts],
        log_path=record.log_path,
        image_id=record.image_id,
        user=make("ContainerUser", linux=make("LinuxContainerUser", **record.user)),
        resources=make("ContainerResources", linux=resources_message(record.resources)),
        stop_signal=stop_signal(record.stop_signal),
    )


def stop_signal(said: str) -> int:
    """CRI's number of a signal as images and users write it: TERM, SIGTERM, 15, SIGRTMIN+3; 0 for what is none."""
    with contextlib.suppress(ValueError):
        said = signal.Signals(int(said)).name
    name = f"SIG{said.upper().removeprefix('SIG')}".replace("+", "PLUS").replace("-", "MINUS")
    return CRI.enum("runtime.v1.Signal").get(name, 0)


def image(record: Any) -> Any:
    user = str((record.config.get("config") or {}).get("User") or "").partition(":")[0]
    values: dict[str, Any] = {
        "id": record.id,
        "repo_tags": list(record.repo_tags),
        "repo_digests": list(record.repo_digests),
        "size": record.size,
        "spec": make("ImageSpec", image=record.id),
        "pinned": record.pinned,
    }
    if user.isdigit():
        values["uid"] = make("Int64Value", value=int(user))
    elif user:
        values["username"] = user
    return make("Image", **values)


def chosen(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())
