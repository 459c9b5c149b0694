"""What a status says beside CRI's own fields where `verbose` asks for it: JSON, whose names are containerd's. Pure.

`crictl inspect`, `inspectp`, `inspecti` and `info` print it, and scripts read from it what CRI has no field for:
the first process's id, the OCI specification, the files of namespaces.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.config import RuntimeConfig
from runtime.images.record import ImageRecord
from runtime.sandbox.records import ContainerRecord, SandboxRecord
from runtime.snapshots.snapshot import chain_ids

RUNTIME = "io.containerd.runc.v2"
"""containerd's name of what runs a container by runc."""


def container_info(
    record: ContainerRecord, settings: RuntimeConfig, snapshotter: str, config: Any, spec: Any
) -> dict[str, str]:
    """`config` is what CRI asked for, `spec` the OCI specification, both empty where a reboot took them."""
    return _told(
        sandboxID=record.sandbox_id,
        pid=record.pid if record.state == "running" else 0,
        removing=False,
        snapshotKey=record.id,
        snapshotter=snapshotter,
        runtimeType=RUNTIME,
        runtimeOptions={"root": str(settings.runc_root)},
        config=config,
        runtimeSpec=spec,
    )


def sandbox_info(record: SandboxRecord, config: Any, namespaces: Mapping[str, Path], pid: int) -> dict[str, str]:
    """`namespaces`: OCI type -> pinned file; `pid` of the process that holds a shared PID namespace, else 0."""
    is_ready = record.state == "ready"
    spec = {
        "ociVersion": "1.0.2",
        "hostname": record.hostname,
        "linux": {"namespaces": [{"type": kind, "path": str(path)} for kind, path in namespaces.items()]},
    }
    return _told(
        pid=pid,
        processStatus="running" if is_ready else "deleted",
        netNamespaceClosed=not is_ready and not record.on_host_network,
        runtimeType=RUNTIME,
        config=config,
        runtimeSpec=spec,
        cniResult=None if record.on_host_network else _cni_result(record, namespaces),
    )


def _cni_result(record: SandboxRecord, namespaces: Mapping[str, Path]) -> dict[str, Any]:
    addresses = [{"IP": address} for address in (record.address, *record.more_addresses) if address]
    return {"Interfaces": {"eth0": {"IPConfigs": addresses, "Sandbox": str(namespaces.get("network", ""))}}}


def image_info(record: ImageRecord) -> dict[str, str]:
    return _told(chainID=(chain_ids(record.diff_ids) or ("",))[-1], imageSpec=record.config)


def runtime_info(settings: RuntimeConfig, snapshotter: str, trouble: str) -> dict[str, str]:
    """`trouble` is why the network isn't ready."""
    config = {
        "containerd": {
            "snapshotter": snapshotter,
            "defaultRuntimeName": "runc",
            "runtimes": {"runc": {"runtimeType": RUNTIME}},
        },
        "cni": {"confDir": str(settings.cni or "")},
        "registry": {"mirrors": {host: {"endpoint": list(urls)} for host, urls in settings.mirrors.items()}},
        "containerdEndpoint": str(settings.socket),
        "rootDir": str(settings.root),
        "stateDir": str(settings.run),
        "podCIDRs": list(settings.pod_cidrs),
        "bridge": settings.bridge,
    }
    return {"config": json.dumps(config), "lastCNILoadStatus": trouble or "OK"}


def _told(**members: Any) -> dict[str, str]:
    return {"info": json.dumps(members)}
