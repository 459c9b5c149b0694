"""The OCI runtime specification of a container, from CRI's configuration, the image's, and the sandbox. Pure.

https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machinery.rpc.wire import CRI
from machinery.structs import Struct
from runtime.errors import InvalidArgument
from runtime.sandbox.users import Identity

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOSHARE = ["nosuid", "noexec", "nodev"]
_PROPAGATION = {0: "rprivate", 1: "rslave", 2: "rshared"}
_POD, _NODE, _TARGET = 0, 2, 3
_IN_ETC = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
"""The sandbox's files that are read-only where the root is, as on containerd."""


class Host(Struct, frozen=True):
    """What this machine lets a container have: its capabilities, the lowest OOM score that may be set, its cgroups."""

    capabilities: frozenset[str]
    lowest_oom_score: int
    is_unified: bool
    counts_swap: bool


class Device(Struct, frozen=True):
    """A device node of the host, and where and how a container gets it."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0
    access: str = "rwm"


class Surroundings(Struct, frozen=True):
    """The sandbox around a container: its namespaces' files, files that are mounted, and where it counts."""

    namespaces: Mapping[str, Path]
    """OCI namespace type -> pinned file, for those that are not the host's."""
    cgroup_path: str
    files: Mapping[str, Path]
    """Path in the container -> file or folder of the sandbox, as /etc/resolv.conf."""
    target_pid: int = 0
    devices: Sequence[Device] = ()
    hostname: str = ""


def environment(config: Any, image: Mapping[str, Any], home: str, hostname: str) -> dict[str, str]:
    """The image's variables and over them those asked for, beside what programs count on everywhere.

    HOSTNAME is there as with every runtime: of a pod in a StatefulSet many scripts learn its number from it.
    """
    found = {"PATH": _PATH, **({"TERM": "xterm"} if config.tty else {}), "HOSTNAME": hostname}
    found |= dict(entry.partition("=")[::2] for entry in image.get("Env") or [])
    found |= {entry.key: entry.value.decode(errors="surrogateescape") for entry in config.envs}
    found.setdefault("HOME", home)
    return found


def process(config: Any, image: Mapping[str, Any], user: Identity, host: Host, *, hostname: str = "") -> dict[str, Any]:
    """The `process` object. Command and arguments replace the image's as CRI says: a command drops the image's both."""
    entrypoint, default = list(image.get("Entrypoint") or []), list(image.get("Cmd") or [])
    if entrypoint == [""]:
        # `ENTRYPOINT [""]` takes the entrypoint of the image below away.
        entrypoint = []
    command, arguments = list(config.command), list(config.args)
    argv = [*command, *arguments] if command else [*entrypoint, *(arguments or default)]
    if not argv:
        raise InvalidArgument("no command specified")
    security = config.linux.security_context
    capabilities = sorted(_capabilities(security, host))
    # Ambient and inheritable stay empty, as containerd leaves them: a user other than root gains nothing by exec.
    sets = {name: capabilities for name in ("bounding", "effective", "permitted")}
    return {
        "terminal": bool(config.tty),
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": argv,
        "env": [f"{key}={value}" for key, value in environment(config, image, user.home, hostname).items()],
        "cwd": config.working_dir or image.get("WorkingDir") or "/",
        "capabilities": sets,
        "noNewPrivileges": bool(security.no_new_privs),
        "oomScoreAdj": max(config.linux.resources.oom_score_adj, host.lowest_oom_score),
    }


def _capabilities(security: Any, host: Host) -> set[str]:
    if security.privileged:
        return set(host.capabilities)
    wanted = set(DEFAULT_CAPABILITIES)
    dropped = {_capability(name) for name in security.capabilities.drop_capabilities}
    added = {_capability(name) for name in security.capabilities.add_capabilities}
    wanted = set() if "CAP_ALL" in dropped else wanted - dropped
    wanted |= set(host.capabilities) if "CAP_ALL" in added else added
    return (wanted - dropped if "CAP_ALL" in added else wanted) & host.capabilities


def _capability(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def container_spec(
    config: Any,
    image: Mapping[str, Any],
    rootfs: Path,
    user: Identity,
    around: Surroundings,
    host: Host,
) -> dict[str, Any]:
    """The whole specification; `image` is the `config` object of the image's configuration."""
    security = config.linux.security_context
    linux: dict[str, Any] = {
        "namespaces": _namespaces(config, around, host),
        "cgroupsPath": around.cgroup_path,
        "devices": [_node(device) for device in around.devices],
        "resources": {"devices": device_rules(config, around.devices), **resources(config.linux.resources, host)},
        "rootfsPropagation": _rootfs_propagation(config),
        "maskedPaths": [] if security.privileged else list(security.masked_paths),
        "readonlyPaths": [] if security.privileged else list(security.readonly_paths),
    }
    return {
        "ociVersion": "1.0.2",
        "process": process(config, image, user, host, hostname=around.hostname),
        "root": {"path": str(rootfs), "readonly": bool(security.readonly_rootfs)},
        "mounts": mounts(config, around, host),
        "linux": linux,
        "annotations": {},
    }


def _namespaces(config: Any, around: Surroundings, host: Host) -> list[dict[str, str]]:
    options = config.linux.security_context.namespace_options
    found = [{"type": "mount"}]
    shared = {kind: path for kind, path in around.namespaces.items() if kind != "pid" or options.pid == _POD}
    found += [{"type": kind, "path": str(path)} for kind, path in shared.items()]
    if options.pid == _TARGET and around.target_pid:
        found.append({"type": "pid", "path": f"/proc/{around.target_pid}/ns/pid"})
    elif options.pid != _NODE and "pid" not in shared:
        found.append({"type": "pid"})
    if host.is_unified and not config.linux.security_context.privileged:
        found.append({"type": "cgroup"})
    return found


def mounts(config: Any, around: Surroundings, host: Host) -> list[dict[str, Any]]:
    """The kernel's file systems first, then the sandbox's files, then what was asked for, outer paths before inner."""
    privileged = config.linux.security_context.privileged
    access = "rw" if privileged else "ro"
    found: list[dict[str, Any]] = [
        _mount("/proc", "proc", "proc", _NOSHARE),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        _mount("/dev/mqueue", "mqueue", "mqueue", _NOSHARE),
        _mount("/sys", "sysfs", "sysfs", [*_NOSHARE, access]),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", [*_NOSHARE, "relatime", access]),
    ]
    asked = {entry.container_path: entry for entry in config.mounts}
    of_root = "ro" if config.linux.security_context.readonly_rootfs else "rw"
    for target, source in around.files.items():
        if target not in asked:
            options = ["rbind", "rprivate", of_root if target in _IN_ETC else "rw"]
            found.append(_mount(target, "bind", str(source), options))
    for target in sorted(asked, key=lambda path: path.count("/")):
        entry = asked[target]
        options = ["rbind", _PROPAGATION.get(entry.propagation, "rprivate"), _access(entry)]
        found.append(_mount(target, "bind", entry.host_path, options))
    shadowed = set(asked)
    return [each for each in found if each["type"] == "bind" or each["destination"] not in shadowed]


def _access(entry: Any) -> str:
    """KEP-3857: with mounts that come later, or that may be written, nobody could say that all below is read-only."""
    if not entry.recursive_read_only:
        return "ro" if entry.readonly else "rw"
    where = f'(hostPath="{entry.host_path}")'
    if not entry.readonly:
        raise InvalidArgument(f"recursive read-only mount conflicts with RW mount {where}")
    if entry.propagation:
        kind = CRI.enum_name("runtime.v1.MountPropagation", entry.propagation)
        raise InvalidArgument(f'recursive read-only mount needs private propagation, got "{kind}" {where}')
    return "rro"


def _mount(target: str, kind: str, source: str, options: Sequence[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


_DEVICES = (("c", 1, 3), ("c", 1, 5), ("c", 1, 7), ("c", 1, 8), ("c", 1, 9), ("c", 5, 0), ("c", 5, 2), ("c", 136, None))


def _node(device: Device) -> dict[str, Any]:
    return {
        "path": device.path,
        "type": device.kind,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode,
        "uid": device.uid,
        "gid": device.gid,
    }


def _rootfs_propagation(config: Any) -> str:
    """What a mount propagates passes through the root's mount, so that must let it through."""
    widest = max((entry.propagation for entry in config.mounts), default=0)
    return {0: "rprivate", 1: "rslave", 2: "rshared"}.get(widest, "rprivate")


def device_rules(config: Any, given: Sequence[Device]) -> list[dict[str, Any]]:
    """Which devices may be opened: the usual ones and those asked for, or all where privileged."""
    if config.linux.security_context.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    for kind, major, minor in _DEVICES:
        rule = {"allow": True, "type": kind, "major": major, "access": "rwm"}
        rules.append(rule if minor is None else {**rule, "minor": minor})
    for each in given:
        rules.append(
            {"allow": True, "type": each.kind, "major": each.major, "minor": each.minor, "access": each.access}
        )
    return rules


def resources(asked: Any, host: Host) -> dict[str, Any]:
    """The limits of CRI's message in the specification's words; what is 0 or empty is left to the kernel.

    A limit of memory is one of memory and swap together unless swap has its own, as on containerd: else a container
    at its limit would swap, and slow the machine down, instead of being ended.
    """
    cpu = {
        "shares": asked.cpu_shares,
        "quota": asked.cpu_quota,
        "period": asked.cpu_period if asked.cpu_quota else 0,
        "cpus": asked.cpuset_cpus,
        "mems": asked.cpuset_mems,
    }
    swap = asked.memory_swap_limit_in_bytes or asked.memory_limit_in_bytes
    memory = {"limit": asked.memory_limit_in_bytes, "swap": swap if host.counts_swap else 0}
    found: dict[str, Any] = {}
    for name, values in (("cpu", cpu), ("memory", memory)):
        if given := {key: value for key, value in values.items() if value}:
            found[name] = given
    if asked.hugepage_limits:
        found["hugepageLimits"] = [{"pageSize": each.page_size, "limit": each.limit} for each in asked.hugepage_limits]
    if asked.unified:
        found["unified"] = dict(asked.unified)
    return found
