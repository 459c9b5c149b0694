"""What CRI is asked for: sandbox and container configurations as plain values, from the pod and what was prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubelet import podspec, podstate
from kubelet.resources import CPU_PERIOD, cgroup_parent, linux_resources
from machinery.api.resource import Object

GRACE = "io.kubernetes.pod.terminationGracePeriod"
_NAMESPACE_MODES = {"POD": 0, "CONTAINER": 1, "NODE": 2, "TARGET": 3}
_PROPAGATION = {"None": 0, "HostToContainer": 1, "Bidirectional": 2}
_PROTOCOLS = {"TCP": 0, "UDP": 1, "SCTP": 2}
_PROFILES = {"RuntimeDefault": 0, "Unconfined": 1, "Localhost": 2}


@dataclass(frozen=True)
class Resolver:
    """What goes into the pod's resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """What was made ready on the host for a container before it is created."""

    image_id: str
    environment: Mapping[str, str]
    command: Sequence[str]
    arguments: Sequence[str]
    mounts: Sequence[Mapping[str, Any]]
    extra: Mapping[str, str] = field(default_factory=dict)


def log_directory(logs_dir: Path, pod: Object) -> Path:
    return logs_dir / f"{podspec.namespace(pod)}_{podspec.name(pod)}_{podspec.uid(pod)}"


def labels(pod: Object) -> dict[str, str]:
    return {
        **(pod["metadata"].get("labels") or {}),
        podstate.POD_NAME: podspec.name(pod),
        podstate.POD_NAMESPACE: podspec.namespace(pod),
        podstate.POD_UID: podspec.uid(pod),
    }


def sandbox_config(pod: Object, attempt: int, logs_dir: Path, cgroup_root: str, resolver: Resolver) -> dict[str, Any]:
    """A `runtime.v1.PodSandboxConfig` as keyword arguments."""
    spec = pod["spec"]
    return {
        "metadata": {
            "name": podspec.name(pod),
            "uid": podspec.uid(pod),
            "namespace": podspec.namespace(pod),
            "attempt": attempt,
        },
        "hostname": "" if podspec.is_host_network(pod) else (spec.get("hostname") or podspec.name(pod))[:63],
        "log_directory": str(log_directory(logs_dir, pod)),
        "dns_config": {
            "servers": list(resolver.servers),
            "searches": list(resolver.searches),
            "options": list(resolver.options),
        },
        "port_mappings": [] if podspec.is_host_network(pod) else _port_mappings(pod),
        "labels": labels(pod),
        "annotations": dict(pod["metadata"].get("annotations") or {}),
        "linux": {
            "cgroup_parent": cgroup_parent(cgroup_root, pod),
            "security_context": _sandbox_security(pod),
            "sysctls": {
                entry["name"]: entry.get("value", "")
                for entry in (spec.get("securityContext") or {}).get("sysctls") or []
            },
        },
    }


def _port_mappings(pod: Object) -> list[dict[str, Any]]:
    return [
        {
            "protocol": _PROTOCOLS.get(port.get("protocol", "TCP"), 0),
            "container_port": port["containerPort"],
            "host_port": port["hostPort"],
            "host_ip": port.get("hostIP", ""),
        }
        for container in podspec.containers(pod)
        for port in container.get("ports") or []
        if port.get("hostPort")
    ]


def _namespaces(pod: Object, target: str = "") -> dict[str, Any]:
    spec = pod["spec"]
    pid = "NODE" if spec.get("hostPID") else "POD" if spec.get("shareProcessNamespace") else "CONTAINER"
    options: dict[str, Any] = {
        "network": _NAMESPACE_MODES["NODE" if spec.get("hostNetwork") else "POD"],
        "pid": _NAMESPACE_MODES["TARGET" if target else pid],
        "ipc": _NAMESPACE_MODES["NODE" if spec.get("hostIPC") else "POD"],
    }
    return {**options, "target_id": target} if target else options


def _sandbox_security(pod: Object) -> dict[str, Any]:
    context = pod["spec"].get("securityContext") or {}
    found: dict[str, Any] = {
        "namespace_options": _namespaces(pod),
        "privileged": any(
            (container.get("securityContext") or {}).get("privileged") for container in podspec.all_containers(pod)
        ),
        "supplemental_groups": _groups(context),
        "seccomp": _profile(context.get("seccompProfile")),
    }
    for wire, key in (("run_as_user", "runAsUser"), ("run_as_group", "runAsGroup")):
        if context.get(key) is not None:
            found[wire] = {"value": context[key]}
    return found


def _groups(context: Object) -> list[int]:
    groups = list(context.get("supplementalGroups") or [])
    return groups if context.get("fsGroup") is None else [context["fsGroup"], *groups]


def _profile(profile: Object | None) -> dict[str, Any]:
    if profile is None:
        return {"profile_type": _PROFILES["Unconfined"]}
    return {
        "profile_type": _PROFILES.get(profile.get("type", ""), _PROFILES["Unconfined"]),
        "localhost_ref": profile.get("localhostProfile", ""),
    }


def container_config(
    pod: Object, spec: Object, attempt: int, prepared: Prepared, memory_capacity: int, target: str = ""
) -> dict[str, Any]:
    """A `runtime.v1.ContainerConfig` as keyword arguments; logs go to `<name>/<attempt>.log` of the pod's folder."""
    name = spec["name"]
    resources = linux_resources(pod, spec, memory_capacity)
    return {
        "metadata": {"name": name, "attempt": attempt},
        "image": {"image": prepared.image_id, "user_specified_image": spec.get("image", "")},
        "command": list(prepared.command),
        "args": list(prepared.arguments),
        "working_dir": spec.get("workingDir", ""),
        "envs": [{"key": key, "value": value.encode()} for key, value in prepared.environment.items()],
        "mounts": [dict(mount) for mount in prepared.mounts],
        "labels": {**_own_labels(pod), podstate.CONTAINER_NAME: name},
        "annotations": {
            podstate.CONTAINER_HASH: podspec.container_hash(spec),
            podstate.RESTART_COUNT: str(attempt),
            podstate.TERMINATION_PATH: spec.get("terminationMessagePath") or "/dev/termination-log",
            podstate.TERMINATION_POLICY: spec.get("terminationMessagePolicy") or "File",
            GRACE: str(podspec.grace_period(pod)),
        },
        "log_path": f"{name}/{attempt}.log",
        "stdin": bool(spec.get("stdin")),
        "stdin_once": bool(spec.get("stdinOnce")),
        "tty": bool(spec.get("tty")),
        "linux": {
            "resources": {
                "cpu_period": CPU_PERIOD,
                "cpu_quota": resources.cpu_quota,
                "cpu_shares": resources.cpu_shares,
                "memory_limit_in_bytes": resources.memory_limit,
                "oom_score_adj": resources.oom_score_adj,
            },
            "security_context": _security(pod, spec, target),
        },
    }


def _own_labels(pod: Object) -> dict[str, str]:
    return {key: value for key, value in labels(pod).items() if key.startswith("io.kubernetes.pod.")}


def _security(pod: Object, spec: Object, target: str) -> dict[str, Any]:
    whole, own = pod["spec"].get("securityContext") or {}, spec.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    context: dict[str, Any] = {
        "capabilities": {
            "add_capabilities": list(capabilities.get("add") or []),
            "drop_capabilities": list(capabilities.get("drop") or []),
        },
        "privileged": bool(own.get("privileged")),
        "namespace_options": _namespaces(pod, target),
        "readonly_rootfs": bool(own.get("readOnlyRootFilesystem")),
        "supplemental_groups": _groups(whole),
        "no_new_privs": own.get("allowPrivilegeEscalation") is False,
        "seccomp": _profile(own.get("seccompProfile") or whole.get("seccompProfile")),
    }
    for wire, key in (("run_as_user", "runAsUser"), ("run_as_group", "runAsGroup")):
        value = own.get(key, whole.get(key))
        if value is not None:
            context[wire] = {"value": value}
    if not own.get("privileged"):
        context["masked_paths"] = list(_MASKED)
        context["readonly_paths"] = list(_READ_ONLY)
    return context


_MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def volume_mounts(spec: Object, volumes: Mapping[str, Path]) -> list[dict[str, Any]]:
    """CRI mounts of a container's volumes; sub-paths stay below their volume, as validation has made sure."""
    return [
        {
            "container_path": _absolute(mount["mountPath"]),
            "host_path": str(volumes[mount["name"]] / mount.get("subPath", "")),
            "readonly": bool(mount.get("readOnly")),
            "propagation": _PROPAGATION.get(mount.get("mountPropagation") or "None", 0),
        }
        for mount in spec.get("volumeMounts") or []
    ]


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"
