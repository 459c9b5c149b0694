"""What upstream refuses in files that the kubelet puts into volumes: keys of Secrets and ConfigMaps, fields of the
pod, tokens, and all of them in one projected volume (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import forbidden, invalid_value, required
from apiserver.rules.pods.environment_rules import IN_FILES, pod_field_errors, resource_field_errors
from apiserver.rules.pods.path_rules import item_path_errors, mode_errors
from machinery.api.errors import Cause
from machinery.api.resource import Object

_SHORTEST_TOKEN, _LONGEST_TOKEN = 600, 2**32
_TAKEN = "conflicting duplicate paths"


def key_path_errors(item: Object, path: str) -> Iterator[Cause]:
    """A key and the file that it becomes."""
    if not item.get("key"):
        yield required(f"{path}.key")
    yield from _file_errors(item, f"{path}.path")
    yield from mode_errors(item.get("mode"), f"{path}.mode")


def _file_errors(item: Object, path: str) -> Iterator[Cause]:
    if not item.get("path"):
        yield required(path)
    yield from item_path_errors(item.get("path") or "", path)


def downward_file_errors(file: Object, path: str) -> Iterator[Cause]:
    """A file that tells of the pod; upstream names the source's path and not the item's."""
    yield from _file_errors(file, f"{path}.path")
    field, resource = file.get("fieldRef"), file.get("resourceFieldRef")
    if field is not None:
        yield from pod_field_errors(field, f"{path}.fieldRef", IN_FILES)
        if resource is not None:
            detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
            yield invalid_value(path, "resource", detail)
    elif resource is not None:
        yield from resource_field_errors(resource, f"{path}.resourceFieldRef", needs_container=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from mode_errors(file.get("mode"), f"{path}.mode")


def projection_errors(sources: list[Object], path: str) -> Iterator[Cause]:
    """Of the sources of one projected volume, whose files may not lie upon each other."""
    taken: set[str] = set()
    for index, source in enumerate(sources):
        chosen = [kind for kind in _KINDS if source.get(kind) is not None]
        for kind in chosen:
            yield from _KINDS[kind](source[kind], f"{path}.sources[{index}].{kind}", path, taken)
        if len(chosen) > 1:
            yield forbidden(f"{path}.sources[{index}]", "may not specify more than 1 volume type per source")


def _clash(file: str, taken: set[str], path: str, shown: str) -> Iterator[Cause]:
    if file in taken:
        yield invalid_value(path, shown, _TAKEN)
    taken.add(file)


def _keyed_errors(source: Object, path: str, volume: str, taken: set[str]) -> Iterator[Cause]:
    name = source.get("name") or ""
    if not name:
        yield required(f"{path}.name")
    for index, item in enumerate(source.get("items") or ()):
        yield from key_path_errors(item, f"{path}.items[{index}]")
        if item.get("path"):
            yield from _clash(item["path"], taken, volume, name)


def _downward_errors(source: Object, path: str, volume: str, taken: set[str]) -> Iterator[Cause]:
    for file in source.get("items") or ():
        yield from downward_file_errors(file, path)
        if file.get("path"):
            yield from _clash(file["path"], taken, volume, file["path"])


def _token_errors(source: Object, path: str, volume: str, taken: set[str]) -> Iterator[Cause]:
    seconds = source.get("expirationSeconds") or 0
    where = f"{path}.expirationSeconds"
    if seconds < _SHORTEST_TOKEN:
        yield invalid_value(where, seconds, "may not specify a duration less than 10 minutes")
    if seconds > _LONGEST_TOKEN:
        yield invalid_value(where, seconds, "may not specify a duration larger than 2^32 seconds")
    # Its path is told as if it were the volume's.
    if not source.get("path"):
        yield required(f"{volume}.path")
    else:
        yield from item_path_errors(source["path"], f"{volume}.path")


_KINDS = {
    "secret": _keyed_errors,
    "configMap": _keyed_errors,
    "downwardAPI": _downward_errors,
    "serviceAccountToken": _token_errors,
}
