"""What upstream refuses in a pod's annotations that once were fields, or that stand beside fields (core/v1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from apiserver.rules.field_errors import forbidden, invalid_value
from apiserver.rules.pods.path_rules import relative_path_errors
from apiserver.rules.pods.placement_rules import toleration_errors
from apiserver.rules.pods.windows_rules import containers_with_paths
from machinery.api.errors import Cause
from machinery.api.go_json import syntax_error
from machinery.api.resource import Object

MIRROR = "kubernetes.io/config.mirror"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_COST = re.compile(r"0|[1-9][0-9]*|-[0-9]+")
_DEFAULT, _UNCONFINED, _LOCAL = "runtime/default", "unconfined", "localhost/"
_OLD_DEFAULT = "docker/default"


def annotation_errors(annotations: Mapping[str, Any], spec: Object, path: str) -> Iterator[Cause]:
    if MIRROR in annotations and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        yield invalid_value(f"{path}[{MIRROR}]", annotations[MIRROR], detail)
    if annotations.get(_TOLERATIONS):
        yield from _listed_toleration_errors(annotations[_TOLERATIONS], path)
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not (_COST.fullmatch(cost) and -(2**31) <= int(cost) < 2**31):
        yield invalid_value(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer")
    if SECCOMP in annotations:
        yield from _seccomp_errors(annotations[SECCOMP], f"{path}.{SECCOMP}")
    for key, value in annotations.items():
        if key.startswith(SECCOMP_CONTAINER):
            yield from _seccomp_errors(value, f"{path}.{key}")
    for key, value in annotations.items():
        if key.startswith(APP_ARMOR):
            yield from _app_armor_errors(key, value, spec, f"{path}[{key}]")


def _listed_toleration_errors(text: str, path: str) -> Iterator[Cause]:
    try:
        tolerations = orjson.loads(text)
    except orjson.JSONDecodeError:
        yield invalid_value(path, _TOLERATIONS, syntax_error(text.encode()))
        return
    if complaint := _type_complaint(tolerations):
        yield invalid_value(path, _TOLERATIONS, f"json: cannot unmarshal {complaint}")
        return
    # Their JSON has no names of its own, so Go takes them in any case.
    lowered = [{key[:1].lower() + key[1:]: value for key, value in each.items()} for each in tolerations or ()]
    yield from toleration_errors(lowered, f"{path}.{_TOLERATIONS}")


def _type_complaint(tolerations: Any) -> str:
    """Which value is of a type that Go could not take, empty where all fit."""
    if tolerations is not None and not isinstance(tolerations, list):
        return f"{_json_type(tolerations)} into Go value of type []core.Toleration"
    for each in tolerations or ():
        if not isinstance(each, dict):
            return f"{_json_type(each)} into Go value of type core.Toleration"
        for key, value in each.items():
            name = key[:1].upper() + key[1:]
            wanted, called = _TOLERATION_FIELDS.get(name, (object, ""))
            if value is not None and (not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))):
                return f"{_json_type(value)} into Go struct field Toleration.{name} of type {called}"
    return ""


_TOLERATION_FIELDS: dict[str, tuple[type, str]] = {
    "Key": (str, "string"),
    "Operator": (str, "core.TolerationOperator"),
    "Value": (str, "string"),
    "Effect": (str, "core.TaintEffect"),
    "TolerationSeconds": (int, "int64"),
}


def _json_type(value: Any) -> str:
    kinds = {dict: "object", list: "array", str: "string", bool: "bool"}
    return kinds.get(type(value), "number")


def _seccomp_errors(profile: str, path: str) -> Iterator[Cause]:
    if profile.startswith(_LOCAL):
        yield from relative_path_errors(profile.removeprefix(_LOCAL), path)
    elif profile not in (_DEFAULT, _OLD_DEFAULT, _UNCONFINED):
        yield invalid_value(path, profile, "must be a valid seccomp profile")


def _app_armor_errors(key: str, profile: str, spec: Object, path: str) -> Iterator[Cause]:
    name = key.removeprefix(APP_ARMOR)
    if all(container.get("name") != name for container, _ in containers_with_paths(spec, "")):
        yield invalid_value(path, name, "container not found")
    if profile not in ("", _DEFAULT, _UNCONFINED) and not profile.startswith(_LOCAL):
        yield invalid_value(path, profile, f'invalid AppArmor profile name: "{profile}"')


def app_armor_field(profile: str) -> Object | None:
    """The field that says the same as an annotation, None where there's none."""
    local = profile.removeprefix(_LOCAL) if profile.startswith(_LOCAL) else ""
    if local:
        return {"type": "Localhost", "localhostProfile": local}
    kind = {_UNCONFINED: "Unconfined", _DEFAULT: "RuntimeDefault"}.get(profile)
    return {"type": kind} if kind else None


def disagreements(annotations: Mapping[str, Any], spec: Object, path: str) -> Iterator[Cause]:
    """Where a new pod's annotations and fields say different things of the same profile."""
    of_pod = spec.get("securityContext") or {}
    if SECCOMP in annotations and of_pod.get("seccompProfile") is not None:
        where = f"{path}.securityContext.seccompProfile"
        yield from _seccomp_disagreement(annotations[SECCOMP], of_pod["seccompProfile"], where)
    for container, where in containers_with_paths(spec, path):
        said = annotations.get(f"{SECCOMP_CONTAINER}{container.get('name')}")
        profile = (container.get("securityContext") or {}).get("seccompProfile")
        if said is not None and profile is not None:
            yield from _seccomp_disagreement(said, profile, f"{where}.securityContext.seccompProfile")
    if (spec.get("os") or {}).get("name") == "windows":
        return
    for container, where in containers_with_paths(spec, path):
        said = annotations.get(f"{APP_ARMOR}{container.get('name')}")
        profile = (container.get("securityContext") or {}).get("appArmorProfile") or of_pod.get("appArmorProfile")
        if said is not None and profile is not None:
            defaults = (_DEFAULT,)
            yield from _disagreement(said, profile, f"{where}.securityContext.appArmorProfile", "apparmor", defaults)


def _seccomp_disagreement(said: str, profile: Object, path: str) -> Iterator[Cause]:
    return _disagreement(said, profile, path, "seccomp", (_DEFAULT, _OLD_DEFAULT))


def _disagreement(said: str, profile: Object, path: str, what: str, defaults: tuple[str, ...]) -> Iterator[Cause]:
    match profile.get("type"):
        case "Unconfined":
            is_same = said == _UNCONFINED
        case "RuntimeDefault":
            is_same = said in defaults
        case "Localhost":
            is_same = said.startswith(_LOCAL)
            if is_same and said.removeprefix(_LOCAL) != profile.get("localhostProfile"):
                yield forbidden(f"{path}.localhostProfile", f"{what} profile in annotation and field must match")
        case _:
            is_same = True
    if not is_same:
        yield forbidden(f"{path}.type", f"{what} type in annotation and field must match")


def annotation_update_errors(new: Mapping[str, Any], old: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Annotations that may neither come nor go nor change once the pod is there."""
    for key, value in old.items():
        if new.get(key) != value:
            if key.startswith(APP_ARMOR):
                yield forbidden(f"{path}[{key}]", "may not remove or update AppArmor annotations")
            if key == MIRROR:
                yield forbidden(f"{path}[{key}]", "may not remove or update mirror pod annotation")
    for key in new:
        if key not in old:
            if key.startswith(APP_ARMOR):
                yield forbidden(f"{path}[{key}]", "may not add AppArmor annotations")
            if key == MIRROR:
                yield forbidden(f"{path}[{key}]", "may not add mirror pod annotation")
