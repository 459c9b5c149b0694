"""What upstream refuses in the security contexts of pods and containers (core/v1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apiserver.rules.field_errors import (
    choice,
    duplicate,
    in_range,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from apiserver.rules.pods.internal_types import internal
from apiserver.rules.pods.path_rules import relative_path_errors
from apiserver.rules.pods.windows_rules import windows_option_errors
from machinery.api.errors import Cause
from machinery.api.resource import Object

_LARGEST_ID = 2**31 - 1
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_MOST_OF_A_PATH = 4095
_CHOICES = (
    ("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
    ("supplementalGroupsPolicy", ("Merge", "Strict")),
    ("seLinuxChangePolicy", ("MountOption", "Recursive")),
)


def container_security_errors(context: Object, path: str, *, has_host_users: bool) -> Iterator[Cause]:
    for field in ("runAsUser", "runAsGroup"):
        if context.get(field) is not None:
            yield from in_range(f"{path}.{field}", context[field], 0, _LARGEST_ID)
    if (mount := context.get("procMount")) is not None:
        if mount not in ("Default", "Unmasked"):
            yield not_supported(f"{path}.procMount", mount, ("Default", "Unmasked"))
        if mount == "Unmasked" and has_host_users:
            yield invalid_value(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    if (seccomp := context.get("seccompProfile")) is not None:
        yield from _seccomp_errors(seccomp, f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        yield from _escalation_errors(context, path)
    if (options := context.get("windowsOptions")) is not None:
        yield from windows_option_errors(options, f"{path}.windowsOptions")
    if (profile := context.get("appArmorProfile")) is not None:
        yield from app_armor_errors(profile, f"{path}.appArmorProfile")


def _escalation_errors(context: Object, path: str) -> Iterator[Cause]:
    said = "cannot set `allowPrivilegeEscalation` to false and"
    if context.get("privileged"):
        yield invalid_value(path, internal("SecurityContext", context), f"{said} `privileged` to true")
    for capability in (context.get("capabilities") or {}).get("add") or ():
        if capability == "CAP_SYS_ADMIN":
            yield invalid_value(path, internal("SecurityContext", context), f"{said} `capabilities.Add` CAP_SYS_ADMIN")


def pod_security_errors(context: Object, spec: Object, path: str) -> Iterator[Cause]:
    """Of a pod's context, which upstream judges together with the host's namespaces in its spec."""
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        if context.get(field) is not None:
            yield from in_range(f"{path}.{field}", context[field], 0, _LARGEST_ID)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from in_range(f"{path}.supplementalGroups[{index}]", group, 0, _LARGEST_ID)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid_value(f"{path}.shareProcessNamespace", value=True, detail=detail)
    if not context:
        return
    if sysctls := context.get("sysctls"):
        yield from _sysctl_errors(sysctls, spec, f"{path}.sysctls")
    yield from _choice_errors(context, path, _CHOICES[:1])
    if (seccomp := context.get("seccompProfile")) is not None:
        yield from _seccomp_errors(seccomp, f"{path}.seccompProfile")
    if (options := context.get("windowsOptions")) is not None:
        yield from windows_option_errors(options, f"{path}.windowsOptions")
    if (profile := context.get("appArmorProfile")) is not None:
        yield from app_armor_errors(profile, f"{path}.appArmorProfile")
    yield from _choice_errors(context, path, _CHOICES[1:])


def _choice_errors(context: Object, path: str, choices: tuple[tuple[str, tuple[str, ...]], ...]) -> Iterator[Cause]:
    for field, supported in choices:
        value = context.get(field)
        if value is not None and value not in supported:
            yield not_supported(f"{path}.{field}", value, supported)


def _seccomp_errors(profile: Object, path: str) -> Iterator[Cause]:
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    if kind:
        yield from choice(f"{path}.type", kind, _PROFILES)
    else:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    if kind == "Localhost":
        where = f"{path}.localhostProfile"
        if local is None:
            yield required(where, "must be set when seccomp type is Localhost")
        else:
            yield from relative_path_errors(local, where)
    elif local is not None:
        detail = "can only be set when seccomp type is Localhost"
        yield invalid_value(f"{path}.localhostProfile", internal("Profile", profile), detail)


def app_armor_errors(profile: Object, path: str) -> Iterator[Cause]:
    kind, local, where = profile.get("type") or "", profile.get("localhostProfile"), f"{path}.localhostProfile"
    if kind == "Localhost":
        if local is None or not local:
            yield required(where, "must be set when AppArmor type is Localhost")
        elif local != local.strip():
            yield invalid_value(where, local, "must not be padded with whitespace")
        if local is not None and len(local.encode()) > _MOST_OF_A_PATH:
            yield too_long(where, _MOST_OF_A_PATH)
    elif kind in _PROFILES:
        if local is not None:
            yield invalid_value(where, local, "can only be set when AppArmor type is Localhost")
    elif kind:
        yield not_supported(f"{path}.type", kind, _PROFILES)
    else:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")


_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = re.compile(rf"^({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}$")
_LONGEST_SYSCTL = 253
_OF_THE_IPC_NAMESPACE = ("kernel.shm", "kernel.msg", "fs.mqueue.")


def _sysctl_errors(sysctls: list[Object], spec: Object, path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        where, name = f"{path}[{index}].name", sysctl.get("name") or ""
        if not name:
            yield required(where)
        elif len(name) > _LONGEST_SYSCTL or not _SYSCTL.fullmatch(name):
            shown = f"^({_SYSCTL_SEGMENT}[\\./])*{_SYSCTL_SEGMENT}$"
            yield invalid_value(where, name, f"must have at most {_LONGEST_SYSCTL} characters and match regex {shown}")
        elif name in seen:
            yield duplicate(where, name)
        seen.add(name)
        dotted = _dotted(name)
        if spec.get("hostNetwork") and dotted.startswith("net."):
            yield invalid_value(where, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and (dotted == "kernel.sem" or dotted.startswith(_OF_THE_IPC_NAMESPACE)):
            yield invalid_value(where, name, "may not be specified when 'hostIPC' is true")


def _dotted(name: str) -> str:
    """The sysctl's name with dots; where a slash comes first, slashes separate and dots belong to the parts."""
    separator = next((char for char in name if char in "./"), ".")
    return name if separator == "." else name.translate(str.maketrans("./", "/."))
