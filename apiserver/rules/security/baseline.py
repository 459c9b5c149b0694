"""The checks of the level baseline: what lets a pod out of its box."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from apiserver.rules.field_errors import said
from apiserver.rules.security.findings import (
    Check,
    Finding,
    containers,
    has_own_users,
    name_of,
    named,
    names,
    plural,
    quoted,
    security,
    setters,
    uses,
)
from machinery.api.resource import Object

CAPABILITIES, HOST_PATHS, PROC_MOUNT, SECCOMP = (
    "capabilities_baseline", "hostPathVolumes", "procMount", "seccompProfile_baseline",
)  # fmt: skip
_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
})  # fmt: skip
_SYSCTLS_27 = _SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_29 = _SYSCTLS_27 | {
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
_SYSCTLS_32 = _SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
_APPARMOR, _LOCAL = "container.apparmor.security.beta.kubernetes.io/", "localhost/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_CONFINED = ("RuntimeDefault", "Localhost")


def _apparmor(metadata: Object, spec: Object) -> Finding | None:
    def profile(holder: Object) -> str:
        found = security(holder).get("appArmorProfile")
        kind: str = found.get("type", "") if found is not None else _CONFINED[0]
        return kind

    bad = [each for each in containers(spec) if profile(each) not in _CONFINED]
    who = setters(names(bad), is_pod=profile(spec) not in _CONFINED)
    values = sorted({kind for each in (spec, *bad) if (kind := profile(each)) not in _CONFINED})
    noted = sorted(_bad_apparmor_notes(metadata))
    if noted:
        who = " and ".join(filter(None, (who, plural("annotation", len(noted)))))
    if not who:
        return None
    values += noted
    reason = plural("forbidden AppArmor profile", len(values))
    return Finding(reason, f"{who} must not set AppArmor profile type to {quoted(values)}")


def _bad_apparmor_notes(metadata: Object) -> Iterator[str]:
    for key, value in (metadata.get("annotations") or {}).items():
        is_fine = value in ("", "runtime/default") or value.startswith(_LOCAL)
        if key.startswith(_APPARMOR) and not is_fine:
            yield f"{key}={said(value)}"


def _capabilities(metadata: Object, spec: Object) -> Finding | None:
    added = {
        name_of(each): extra
        for each in containers(spec)
        if (extra := set((security(each).get("capabilities") or {}).get("add") or ()) - _CAPABILITIES)
    }
    if not added:
        return None
    whole = quoted(sorted(set().union(*added.values())))
    said_of = f"{named('container', list(added))} must not include {whole} in securityContext.capabilities.add"
    return Finding("non-default capabilities", said_of)


def _host_namespaces(metadata: Object, spec: Object) -> Finding | None:
    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return Finding("host namespaces", ", ".join(shared)) if shared else None


def _host_paths(metadata: Object, spec: Object) -> Finding | None:
    found = names(each for each in spec.get("volumes") or () if each.get("hostPath") is not None)
    return Finding("hostPath volumes", named("volume", found)) if found else None


def _host_ports(metadata: Object, spec: Object) -> Finding | None:
    taken = {
        name_of(each): ports
        for each in containers(spec)
        if (ports := {str(port["hostPort"]) for port in each.get("ports") or () if port.get("hostPort")})
    }
    if not taken:
        return None
    every = sorted(set().union(*taken.values()))
    return Finding("hostPort", f"{uses('container', list(taken))} {plural('hostPort', len(every))} {', '.join(every)}")


def _host_probes(metadata: Object, spec: Object) -> Finding | None:
    asked = {name_of(each): hosts for each in containers(spec) if (hosts := set(_hosts(each)))}
    if not asked:
        return None
    every = sorted(set().union(*asked.values()))
    what = named("probe or lifecycle host", every)
    return Finding("probe or lifecycle host", f"{uses('container', sorted(asked))} {what}")


def _hosts(container: Object) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    for handler in (*handlers, lifecycle.get("postStart"), lifecycle.get("preStop")):
        for kind in ("httpGet", "tcpSocket"):
            if host := ((handler or {}).get(kind) or {}).get("host"):
                yield host


def _privileged(metadata: Object, spec: Object) -> Finding | None:
    bad = names(each for each in containers(spec) if security(each).get("privileged"))
    detail = f"{named('container', bad)} must not set securityContext.privileged=true"
    return Finding("privileged", detail) if bad else None


def proc_mount(metadata: Object, spec: Object) -> Finding | None:
    bad = [each for each in containers(spec) if security(each).get("procMount") not in (None, "Default")]
    kinds = sorted({security(each)["procMount"] for each in bad})
    detail = f"{named('container', names(bad))} must not set securityContext.procMount to {quoted(kinds)}"
    return Finding("procMount", detail) if bad else None


def _proc_mount_35(metadata: Object, spec: Object) -> Finding | None:
    return None if has_own_users(spec) else proc_mount(metadata, spec)


def _selinux(allowed: frozenset[str], metadata: Object, spec: Object) -> Finding | None:
    def options(holder: Object) -> Object:
        return security(holder).get("seLinuxOptions") or {}

    def is_bad(holder: Object) -> bool:
        found = options(holder)
        return found.get("type", "") not in allowed or bool(found.get("user") or found.get("role"))

    bad = [each for each in containers(spec) if is_bad(each)]
    who = setters(names(bad), is_pod=is_bad(spec))
    if not who:
        return None
    every = [options(each) for each in (spec, *containers(spec))]
    kinds = sorted({each.get("type", "") for each in every} - allowed)
    what = [named("type", kinds)] if kinds else []
    what += [f"{part} may not be set" for part in ("user", "role") if any(each.get(part) for each in every)]
    return Finding("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(what)}")


def _seccomp_notes(metadata: Object, spec: Object) -> Finding | None:
    annotations = metadata.get("annotations") or {}
    keys = {_SECCOMP_POD, *(f"{_SECCOMP_CONTAINER}{name}" for name in names(containers(spec)))}
    bad = sorted(
        f"{key}={said(annotations[key])}"
        for key in keys & annotations.keys()
        if annotations[key] not in ("runtime/default", "docker/default") and not annotations[key].startswith(_LOCAL)
    )
    return Finding("seccompProfile", f"forbidden {plural('annotation', len(bad))} {', '.join(bad)}") if bad else None


def seccomp_type(holder: Object) -> str | None:
    """The type of the profile; None where none is set."""
    profile = security(holder).get("seccompProfile")
    return profile.get("type", "") if profile is not None else None


def seccomp(metadata: Object, spec: Object) -> Finding | None:
    allowed = (None, *_CONFINED)
    bad = [each for each in containers(spec) if seccomp_type(each) not in allowed]
    who = setters(names(bad), is_pod=seccomp_type(spec) not in allowed)
    if not who:
        return None
    kinds = sorted({kind for each in (spec, *bad) if (kind := seccomp_type(each)) not in allowed and kind is not None})
    return Finding("seccompProfile", f"{who} must not set securityContext.seccompProfile.type to {quoted(kinds)}")


def _sysctls(allowed: frozenset[str], metadata: Object, spec: Object) -> Finding | None:
    bad = [name_of(each) for each in security(spec).get("sysctls") or () if name_of(each) not in allowed]
    return Finding("forbidden sysctls", ", ".join(bad)) if bad else None


def _host_process(metadata: Object, spec: Object) -> Finding | None:
    def is_set(holder: Object) -> bool:
        return bool((security(holder).get("windowsOptions") or {}).get("hostProcess"))

    who = setters(names(filter(is_set, containers(spec))), is_pod=is_set(spec))
    detail = f"{who} must not set securityContext.windowsOptions.hostProcess=true"
    return Finding("hostProcess", detail) if who else None


BASELINE = (
    Check("appArmorProfile", ((0, _apparmor),)),
    Check(CAPABILITIES, ((0, _capabilities),)),
    Check("hostNamespaces", ((0, _host_namespaces),)),
    Check(HOST_PATHS, ((0, _host_paths),)),
    Check("hostPorts", ((0, _host_ports),)),
    Check("hostProbesAndHostLifecycle", ((34, _host_probes),)),
    Check("privileged", ((0, _privileged),)),
    Check(PROC_MOUNT, ((0, proc_mount), (35, _proc_mount_35))),
    Check(
        "seLinuxOptions",
        ((0, partial(_selinux, _SELINUX_TYPES)), (31, partial(_selinux, _SELINUX_TYPES | {"container_engine_t"}))),
    ),
    Check(SECCOMP, ((0, _seccomp_notes), (19, seccomp))),
    Check(
        "sysctls",
        (
            (0, partial(_sysctls, _SYSCTLS)),
            (27, partial(_sysctls, _SYSCTLS_27)),
            (29, partial(_sysctls, _SYSCTLS_29)),
            (32, partial(_sysctls, _SYSCTLS_32)),
        ),
    ),
    Check("windowsHostProcess", ((0, _host_process),)),
)
"""In the order in which findings are told."""
