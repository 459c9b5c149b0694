"""What upstream refuses in the options of Windows, and in what of a pod does not fit its operating system (core/v1).

Pods of Windows never run here; yet what is stored is what a cluster with Windows nodes would store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, forbidden, invalid_value, not_supported, required
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_MOST_KIB = 64
_LONGEST_DOMAIN, _LONGEST_USER = 256, 104
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NET_BIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS_PART = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_DNS_PART}(?:\.{_DNS_PART})*")
_NOT_IN_USERS = re.compile(r'["/\\:;|=,+*?<>@\[\]]')


def windows_option_errors(options: Object, path: str) -> Iterator[Cause]:
    if (name := options.get("gmsaCredentialSpecName")) is not None:
        yield from all_of(f"{path}.gmsaCredentialSpecName", name, names.dns_subdomain(name))
    if (spec := options.get("gmsaCredentialSpec")) is not None:
        if not spec:
            detail = "gmsaCredentialSpec cannot be an empty string"
            yield invalid_value(f"{path}.gmsaCredentialSpec", spec, detail)
        elif len(spec.encode()) > _MOST_KIB * 1024:
            detail = f"gmsaCredentialSpec size must be under {_MOST_KIB} KiB"
            yield invalid_value(f"{path}.gmsaCredentialSpec", spec, detail)
    if (user := options.get("runAsUserName")) is not None:
        yield from all_of(f"{path}.runAsUserName", user, (f"runAsUserName{said}" for said in _user_complaints(user)))


def _user_complaints(text: str) -> Iterator[str]:
    domain, backslash, user = text.rpartition("\\")
    if not text:
        yield " cannot be an empty string"
    elif _CONTROL.search(text):
        yield " cannot contain control characters"
    elif "\\" in domain:
        yield " cannot contain more than one backslash"
    else:
        if len(domain.encode()) >= _LONGEST_DOMAIN:
            yield f"'s Domain length must be under {_LONGEST_DOMAIN} characters"
        if backslash and not _NET_BIOS.fullmatch(domain) and not _DNS.fullmatch(domain):
            yield "'s Domain doesn't match the NetBios nor the DNS format"
        if not user:
            yield "'s User cannot be empty"
        elif len(user.encode()) > _LONGEST_USER:
            yield f"'s User length must not be longer than {_LONGEST_USER} characters"
        if user and not user.strip(". "):
            yield "'s User cannot contain only periods or spaces"
        if _NOT_IN_USERS.search(user):
            yield "'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"


def containers_with_paths(spec: Object, path: str) -> Iterator[tuple[Object, str]]:
    """Every container of the pod, in the order in which upstream visits them all."""
    for part in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(part) or ()):
            yield container, f"{path}.{part}[{index}]"


def host_process_errors(spec: Object, path: str) -> Iterator[Cause]:
    """All containers of a pod are the host's processes, or none."""
    of_pod = _host_process(spec)
    counted, of_host = 0, 0
    for container, where in containers_with_paths(spec, path):
        own = _host_process(container)
        if of_pod is not None and own is not None and of_pod != own:
            said = f"pod hostProcess value must be identical if both are specified, was {str(of_pod).lower()}"
            yield invalid_value(f"{where}.securityContext.windowsOptions.hostProcess", own, said)
        counted, of_host = counted + 1, of_host + bool(of_pod if own is None else own)
    if not of_host:
        return
    if of_host != counted:
        detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        yield invalid_value(path, "", detail)
    if not spec.get("hostNetwork"):
        detail = "hostNetwork must be true if pod contains any hostProcess containers"
        yield invalid_value(f"{path}.hostNetwork", value=False, detail=detail)


def _host_process(holder: Object) -> bool | None:
    context = holder.get("securityContext") or {}
    is_of_host: bool | None = (context.get("windowsOptions") or {}).get("hostProcess")
    return is_of_host


_NOT_OF_WINDOWS_PODS = (
    "securityContext.appArmorProfile", "securityContext.seLinuxOptions", "hostUsers", "hostPID", "hostIPC",
    "securityContext.seccompProfile", "securityContext.fsGroup", "securityContext.fsGroupChangePolicy",
    "securityContext.sysctls", "shareProcessNamespace", "securityContext.runAsUser", "securityContext.runAsGroup",
    "securityContext.supplementalGroups", "securityContext.supplementalGroupsPolicy",
    "securityContext.seLinuxChangePolicy",
)  # fmt: skip
_NOT_OF_WINDOWS_CONTAINERS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip


def os_errors(os: Object, path: str, spec: Object) -> Iterator[Cause]:
    """An operating system that is unknown, or whatever of the pod another one has."""
    name, of_spec = os.get("name") or "", path.removesuffix(".os")
    if not name:
        yield required(f"{path}.name")
    elif name == "linux":
        yield from _linux_errors(spec, of_spec)
    elif name == "windows":
        yield from _windows_errors(spec, of_spec)
    else:
        yield not_supported(path, name, ("linux", "windows"))


def _linux_errors(spec: Object, path: str) -> Iterator[Cause]:
    for holder, where in ((spec, path), *containers_with_paths(spec, path)):
        if (holder.get("securityContext") or {}).get("windowsOptions") is not None:
            detail = "windows options cannot be set for a linux pod"
            yield forbidden(f"{where}.securityContext.windowsOptions", detail)


def _windows_errors(spec: Object, path: str) -> Iterator[Cause]:
    detail = "cannot be set for a windows pod"
    for field in _NOT_OF_WINDOWS_PODS:
        holder = spec if "." not in field else spec.get("securityContext") or {}
        value = holder.get(field.rpartition(".")[2])
        # What Go has as a plain value or a list is only set where there is something in it.
        if value or (value is not None and field not in ("hostPID", "hostIPC", "securityContext.sysctls")):
            yield forbidden(f"{path}.{field}", detail)
    for container, where in containers_with_paths(spec, path):
        context = container.get("securityContext") or {}
        for field in _NOT_OF_WINDOWS_CONTAINERS:
            if context.get(field) is not None:
                yield forbidden(f"{where}.securityContext.{field}", detail)


def host_users_errors(spec: Object, path: str) -> Iterator[Cause]:
    """A user namespace of its own goes with neither the host's other namespaces nor block devices."""
    detail = "when `hostUsers` is false"
    # Two of the paths begin with a capital; so they do upstream.
    for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(field):
            yield forbidden(f"{path}.{shown}", detail)
    for container, where in containers_with_paths(spec, path):
        if container.get("volumeDevices"):
            yield forbidden(f"{where}.volumeDevices", detail)
