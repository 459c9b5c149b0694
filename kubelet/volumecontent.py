"""The files of configMap, secret, downwardAPI and projected volumes, computed from the cache. Pure but for tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from kubelet import podspec
from kubelet.atomicfiles import File
from kubelet.environment import data_of
from kubelet.fieldrefs import field_value, resource_value
from machinery.api.resource import Object, Resource
from machinery.api.resources import CONFIG_MAPS, SECRETS
from machinery.client.cache import Cache
from machinery.structs import Struct


class VolumeFailure(Exception):
    """The volume can't be set up (yet); the message is the FailedMount event's second half."""


class MountFailed(Exception):
    """A pod's volumes can't be had (yet); the message is the FailedMount event's."""

    @classmethod
    def of(cls, volume: str, why: str) -> MountFailed:
        return cls(f'MountVolume.SetUp failed for volume "{volume}" : {why}')


class Sources(Struct, frozen=True):
    """`token` gives a service account token by (audience, seconds), obtained beforehand."""

    cache: Cache
    token: Callable[[str, int], str]
    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] | None = None


CONTENT_KINDS = ("configMap", "secret", "downwardAPI", "projected")


def volume_files(pod: Object, volume: Object, sources: Sources) -> dict[str, File]:
    """Relative path -> File; raises VolumeFailure where a source that is not optional lacks."""
    if "projected" in volume:
        projected = volume["projected"]
        mode = projected.get("defaultMode", 0o644)
        return _projected(pod, projected.get("sources") or (), mode, sources)
    kind = next(kind for kind in CONTENT_KINDS if kind in volume)
    mode = volume[kind].get("defaultMode", 0o644)
    return _source_files(pod, {kind: volume[kind]}, mode, sources)


def _projected(pod: Object, parts: Iterable[Object], mode: int, sources: Sources) -> dict[str, File]:
    """The files of all parts; raises VolumeFailure with what is wrong with any of them."""
    found: dict[str, File] = {}
    wrong: dict[str, None] = {}
    for part in parts:
        try:
            found |= _source_files(pod, part, mode, sources)
        except VolumeFailure as failure:
            wrong[str(failure)] = None
    if wrong:
        raise VolumeFailure(f"[{', '.join(wrong)}]" if len(wrong) > 1 else next(iter(wrong)))
    return found


def tokens_of(pod: Object) -> set[tuple[str, int]]:
    """The (audience, seconds) of every token that the pod's volumes hold."""
    found = set()
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken")
            if token:
                found.add((token.get("audience", ""), int(token.get("expirationSeconds", 3600))))
    return found


def _source_files(pod: Object, source: Object, mode: int, sources: Sources) -> dict[str, File]:
    if "serviceAccountToken" in source:
        wanted = source["serviceAccountToken"]
        token = sources.token(wanted.get("audience", ""), int(wanted.get("expirationSeconds", 3600)))
        return {_safe(wanted["path"]): File(token.encode(), _token_mode(pod, mode), _token_owner(pod))}
    if "configMap" in source:
        return _keyed(
            pod, source["configMap"], CONFIG_MAPS, "configmap references non-existent config key", mode, sources
        )
    if "secret" in source:
        return _keyed(pod, source["secret"], SECRETS, "references non-existent secret key", mode, sources)
    if "downwardAPI" in source:
        return {
            _safe(item["path"]): File(_downward(pod, item, sources).encode(), item.get("mode", mode))
            for item in source["downwardAPI"].get("items") or ()
        }
    raise VolumeFailure(f"unsupported source: {', '.join(source)}")


def _users(pod: Object) -> set[int | None]:
    of_pod = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    return {(s.get("securityContext") or {}).get("runAsUser", of_pod) for s in podspec.all_containers(pod)}


def _token_owner(pod: Object) -> int:
    """Where all containers run as one user the token is that user's alone."""
    users = _users(pod)
    only = next(iter(users)) if len(users) == 1 else None
    return -1 if only is None else only


def _token_mode(pod: Object, mode: int) -> int:
    if (pod["spec"].get("securityContext") or {}).get("fsGroup") is not None or _token_owner(pod) >= 0:
        return 0o600
    return mode


def _downward(pod: Object, item: Object, sources: Sources) -> str:
    if "fieldRef" in item:
        return field_value(pod, item["fieldRef"]["fieldPath"], pod_ips=sources.pod_ips, host_ips=sources.host_ips)
    return resource_value(pod, "", item["resourceFieldRef"], dict(sources.allocatable or {}))


def _keyed(pod: Object, source: Object, resource: Resource, lacks: str, mode: int, sources: Sources) -> dict[str, File]:
    """`lacks` is what is said of a key that it has not got."""
    name, namespace = source.get("secretName") or source.get("name", ""), podspec.namespace(pod)
    optional = bool(source.get("optional"))
    found = sources.cache.get(resource, namespace, name)
    if found is None:
        if optional:
            return {}
        raise VolumeFailure(f'{resource.kind.lower()} "{name}" not found')
    values = data_of(found)
    if not source.get("items"):
        return {key: File(value, mode) for key, value in values.items()}
    files = {}
    for item in source["items"]:
        if item["key"] in values:
            files[_safe(item["path"])] = File(values[item["key"]], item.get("mode", mode))
        elif not optional:
            raise VolumeFailure(f"{lacks}: {item['key']}")
    return files


def _safe(path: str) -> str:
    """The API server refuses such paths; a file outside the volume must not depend on that."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise VolumeFailure(f"invalid path {path}")
    return path
