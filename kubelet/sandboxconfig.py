"""Pod and container specs translated to CRI configurations, as plain dicts of CRI's field names. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubelet import podspec, podstate
from kubelet.config import KubeletConfig
from kubelet.cri_values import Image
from kubelet.environment import expand
from kubelet.fieldrefs import ConfigurationError
from kubelet.resources import CPU_PERIOD, cgroup_parent, linux_resources, unified_limits
from machinery.api.resource import Object
from machinery.api.resources import RUNTIME_CLASSES
from machinery.client.cache import Cache
from machinery.linux import cgroup
from machinery.rpc.wire import CRI
from machinery.structs import Struct

_MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
_MOST_HOSTNAME = 64
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class Dns(Struct, frozen=True):
    """A resolv.conf's three parts."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> Dns:
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        match line.split("#", 1)[0].split():
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search", *domains]:
                searches = tuple(domain.removesuffix(".") for domain in domains if domain != ".")
            case ["options", *more]:
                options = more
    return Dns(tuple(servers), searches, tuple(options))


def pod_dns(pod: Object, host: Dns, config: KubeletConfig) -> Dns:
    """What the pod's resolv.conf holds; without cluster DNS, ClusterFirst is the host's."""
    policy = pod["spec"].get("dnsPolicy", "ClusterFirst")
    if policy == "ClusterFirst" and podspec.is_host_network(pod):
        policy = "Default"
    base = host
    if policy == "None":
        base = Dns()
    elif policy in ("ClusterFirst", "ClusterFirstWithHostNet") and config.cluster_dns:
        domain, namespace = config.cluster_domain, podspec.namespace(pod)
        searches = dict.fromkeys((f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *host.searches))
        base = Dns(config.cluster_dns, tuple(searches), ("ndots:5",))
    extra = pod["spec"].get("dnsConfig")
    if not extra:
        return base
    options = [
        option["name"] + (f":{option['value']}" if option.get("value") else "") for option in extra.get("options") or ()
    ]
    kept = [o for o in base.options if o.split(":")[0] not in {new.split(":")[0] for new in options}]
    return Dns(
        servers=tuple(dict.fromkeys((*base.servers, *(extra.get("nameservers") or ())))),
        searches=tuple(dict.fromkeys((*base.searches, *(extra.get("searches") or ())))),
        options=(*kept, *options),
    )


def hostname(pod: Object, node_name: str) -> str:
    if podspec.is_host_network(pod):
        return node_name
    wanted = pod["spec"].get("hostnameOverride") or pod["spec"].get("hostname") or podspec.name(pod)
    return str(wanted)[:63].rstrip("-.")


def kernel_hostname(pod: Object, config: KubeletConfig) -> str:
    """What the kernel calls it: the full domain name where that is asked for; raises ConfigurationError if too long."""
    short, spec = hostname(pod, config.node_name), pod["spec"]
    if not spec.get("setHostnameAsFQDN") or not spec.get("subdomain") or spec.get("hostnameOverride"):
        return short
    full = f"{short}.{spec['subdomain']}.{podspec.namespace(pod)}.svc.{config.cluster_domain}"
    if len(full) > _MOST_HOSTNAME:
        raise ConfigurationError(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
            f"({_MOST_HOSTNAME} characters is the max, {len(full)} characters requested)"
        )
    return full


def log_directory(pod: Object, config: KubeletConfig) -> Path:
    return config.pod_logs_dir / f"{podspec.namespace(pod)}_{podspec.name(pod)}_{podspec.uid(pod)}"


def runtime_handler(pod: Object, cache: Cache) -> str:
    """What the pod's RuntimeClass calls its runtime; empty for the usual one. Raises ConfigurationError."""
    name = pod["spec"].get("runtimeClassName")
    if not name:
        return ""
    found = cache.get(RUNTIME_CLASSES, "", name)
    if found is None:
        raise ConfigurationError(f'runtimeclass.node.k8s.io "{name}" not found')
    return str(found["handler"])


def sandbox_config(pod: Object, attempt: int, dns: Dns, config: KubeletConfig) -> dict[str, Any]:
    """CRI's PodSandboxConfig; raises ConfigurationError where the pod's name is too long for the kernel."""
    spec = pod["spec"]
    if spec.get("hostUsers") is False:
        # Run with the host's users it would be less apart from the host than it asked to be.
        raise ConfigurationError("can't set `spec.hostUsers: false`, runtime does not support user namespaces")
    security = spec.get("securityContext") or {}
    ports = [
        {
            "protocol": CRI.enum("runtime.v1.Protocol")[port.get("protocol", "TCP")],
            "container_port": port["containerPort"],
            "host_port": port["hostPort"],
            "host_ip": port.get("hostIP", ""),
        }
        for found in (*podspec.containers(pod), *filter(podspec.is_sidecar, podspec.init_containers(pod)))
        for port in found.get("ports") or ()
        if port.get("hostPort")
    ]
    context: dict[str, Any] = {
        "namespace_options": _namespaces(pod),
        "privileged": any(
            (found.get("securityContext") or {}).get("privileged") for found in podspec.all_containers(pod)
        ),
        "supplemental_groups": _groups(security),
        "supplemental_groups_policy": _groups_policy(security),
    }
    _set_int(context, "run_as_user", security.get("runAsUser"))
    _set_int(context, "run_as_group", security.get("runAsGroup"))
    made: dict[str, Any] = {
        "metadata": {
            "name": podspec.name(pod),
            "uid": podspec.uid(pod),
            "namespace": podspec.namespace(pod),
            "attempt": attempt,
        },
        "log_directory": str(log_directory(pod, config)),
        "dns_config": {"servers": dns.servers, "searches": dns.searches, "options": dns.options},
        "labels": {**(pod["metadata"].get("labels") or {}), **_pod_labels(pod)},
        "annotations": dict(pod["metadata"].get("annotations") or {}),
        "port_mappings": [] if podspec.is_host_network(pod) else ports,
        "linux": {
            "cgroup_parent": cgroup_parent(config.cgroup_root, pod),
            "security_context": context,
            "sysctls": {sysctl["name"]: sysctl["value"] for sysctl in security.get("sysctls") or ()},
        },
    }
    if not podspec.is_host_network(pod):
        made["hostname"] = kernel_hostname(pod, config)
    return made


def _pod_labels(pod: Object) -> dict[str, str]:
    return {
        podstate.POD_NAME: podspec.name(pod),
        podstate.POD_NAMESPACE: podspec.namespace(pod),
        podstate.POD_UID: podspec.uid(pod),
    }


def _namespaces(pod: Object, target_id: str = "") -> dict[str, Any]:
    modes, spec = CRI.enum("runtime.v1.NamespaceMode"), pod["spec"]
    pid = "NODE" if spec.get("hostPID") else "POD" if spec.get("shareProcessNamespace") else "CONTAINER"
    if target_id:
        pid = "TARGET"
    return {
        "network": modes["NODE" if spec.get("hostNetwork") else "POD"],
        "ipc": modes["NODE" if spec.get("hostIPC") else "POD"],
        "pid": modes[pid],
        "target_id": target_id,
    }


def _groups(security: Object) -> list[int]:
    groups = list(security.get("supplementalGroups") or ())
    if security.get("fsGroup") is not None:
        groups.append(security["fsGroup"])
    return groups


def _groups_policy(security: Object) -> int:
    """Whether the image's groups of the user count, too (Merge)."""
    return int(CRI.enum("runtime.v1.SupplementalGroupsPolicy")[security.get("supplementalGroupsPolicy") or "Merge"])


def _set_int(message: dict[str, Any], field: str, value: int | None) -> None:
    if value is not None:
        message[field] = {"value": int(value)}


class ContainerPlan(Struct, frozen=True):
    """What a container needs beside its spec: all of it known before the runtime is asked for anything."""

    attempt: int
    image: Image
    image_name: str
    environment: Mapping[str, str]
    mounts: Sequence[Mapping[str, Any]]
    memory_capacity: int
    seccomp_dir: Path
    """Where `localhostProfile` names a file."""
    target_id: str = ""


def container_config(pod: Object, spec: Object, plan: ContainerPlan) -> dict[str, Any]:
    """Raises ConfigurationError where the image and `runAsNonRoot` contradict each other."""
    values = plan.environment
    interactive = {
        key: bool(spec.get(field)) for key, field in (("stdin", "stdin"), ("stdin_once", "stdinOnce"), ("tty", "tty"))
    }
    return {
        "metadata": {"name": spec["name"], "attempt": plan.attempt},
        "image": {"image": plan.image.id, "user_specified_image": plan.image_name},
        "command": [expand(word, values) for word in spec.get("command") or ()],
        "args": [expand(word, values) for word in spec.get("args") or ()],
        "working_dir": spec.get("workingDir", ""),
        "envs": [{"key": key, "value": value.encode()} for key, value in values.items()],
        "mounts": list(plan.mounts),
        "labels": {**_pod_labels(pod), podstate.CONTAINER_NAME: spec["name"]},
        "annotations": {
            podstate.CONTAINER_HASH: podspec.container_hash(spec),
            podstate.RESTART_COUNT: str(plan.attempt),
            podstate.TERMINATION_PATH: spec.get("terminationMessagePath", "/dev/termination-log"),
            podstate.TERMINATION_POLICY: spec.get("terminationMessagePolicy", "File"),
            podstate.GRACE_PERIOD: str(podspec.grace_period(pod)),
        },
        "log_path": f"{spec['name']}/{plan.attempt}.log",
        **interactive,
        "linux": {
            "resources": container_resources(pod, spec, plan.memory_capacity),
            "security_context": _security(pod, spec, plan),
        },
    }


def container_resources(pod: Object, spec: Object, memory_capacity: int) -> dict[str, Any]:
    """CRI's LinuxContainerResources."""
    found = linux_resources(pod, spec, memory_capacity)
    made: dict[str, Any] = {"cpu_shares": found.cpu_shares, "oom_score_adj": found.oom_score_adj}
    if found.cpu_quota:
        made |= {"cpu_period": CPU_PERIOD, "cpu_quota": found.cpu_quota}
    if found.memory_limit:
        made |= {"memory_limit_in_bytes": found.memory_limit}
    if unified := unified_limits(is_unified=cgroup.is_unified(), counts_swap=cgroup.counts_swap()):
        made["unified"] = unified
    return made


def _security(pod: Object, spec: Object, plan: ContainerPlan) -> dict[str, Any]:
    of_pod, own = pod["spec"].get("securityContext") or {}, spec.get("securityContext") or {}
    both = {**of_pod, **own}
    privileged = bool(own.get("privileged"))
    capabilities = own.get("capabilities") or {}
    made: dict[str, Any] = {
        "capabilities": {
            "add_capabilities": list(capabilities.get("add") or ()),
            "drop_capabilities": list(capabilities.get("drop") or ()),
        },
        "privileged": privileged,
        "namespace_options": _namespaces(pod, plan.target_id),
        "readonly_rootfs": bool(own.get("readOnlyRootFilesystem")),
        "supplemental_groups": _groups(of_pod),
        "supplemental_groups_policy": _groups_policy(of_pod),
        "no_new_privs": own.get("allowPrivilegeEscalation") is False,
        "seccomp": _seccomp(both.get("seccompProfile"), plan.seccomp_dir, privileged=privileged),
    }
    if (profile := both.get("appArmorProfile")) and not privileged:
        made["apparmor"] = _profile(profile, privileged=False)
    if not privileged and own.get("procMount") != "Unmasked":
        made |= {"masked_paths": _MASKED, "readonly_paths": _READONLY}
    _set_user(made, pod, spec, both, plan.image)
    _set_int(made, "run_as_group", both.get("runAsGroup"))
    return made


def _seccomp(profile: Object | None, directory: Path, *, privileged: bool) -> dict[str, Any]:
    asked = _profile(profile, privileged=privileged)
    if name := asked.get("localhost_ref"):
        asked["localhost_ref"] = str(directory / name)
    return asked


def _profile(profile: Object | None, *, privileged: bool) -> dict[str, Any]:
    kinds = CRI.enum("runtime.v1.SecurityProfile.ProfileType")
    if profile is None or privileged:
        return {"profile_type": kinds["Unconfined"]}
    return {"profile_type": kinds[profile["type"]], "localhost_ref": profile.get("localhostProfile", "")}


def _set_user(made: dict[str, Any], pod: Object, spec: Object, both: Object, image: Image) -> None:
    user = both.get("runAsUser")
    must_not_be_root = bool(both.get("runAsNonRoot"))
    about = f'(pod: "{podspec.full_name(pod)}", container: {spec["name"]})'
    if user is not None:
        if must_not_be_root and user == 0:
            raise ConfigurationError(f"container's runAsUser breaks non-root policy {about}")
        _set_int(made, "run_as_user", user)
        return
    if must_not_be_root and image.uid in (0, None) and not image.username:
        raise ConfigurationError(f"container has runAsNonRoot and image will run as root {about}")
    if must_not_be_root and image.username:
        raise ConfigurationError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {about}"
        )
    if image.uid is not None:
        _set_int(made, "run_as_user", image.uid)
    elif image.username:
        made["run_as_username"] = image.username
    else:
        # A runtime refuses a group without a user.
        _set_int(made, "run_as_user", 0)
