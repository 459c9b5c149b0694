"""PATCH: the current object, the patch and its type make the wanted object. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from apiserver.registry.call import Call
from apiserver.registry.metadata import check_name, wrong_namespace
from apiserver.rules.field_errors import invalid_value
from machinery.api.canonical import canonical, sound
from machinery.api.decoding import field_errors, strict_message, unlike
from machinery.api.errors import Invalid, UnsupportedMediaType, invalid
from machinery.api.messages import resource_message
from machinery.api.patch import json_patch, merge_patch
from machinery.api.resource import Object, Resource
from machinery.client.client import PatchType


def patched(call: Call, patch_type: PatchType, patch: Any, resource: Resource) -> Callable[[Object], Object]:
    """The change that the patch asks for, checked as a request's body would be; canonical, and new each time."""

    def change(current: Object) -> Object:
        wanted = _apply(current, patch_type, patch, resource)
        if wanted.get("metadata") is None:
            wanted = {**wanted, "metadata": {}}
        if patch_type != PatchType.STRATEGIC:
            _check_kind(wanted, resource)
        wanted = _checked(call, patch_type, patch, wanted, resource)
        if wanted["metadata"].get("resourceVersion") == current["metadata"]["resourceVersion"]:
            # The patch did not ask for a version, it only left the current one in its place.
            kept = {key: value for key, value in wanted["metadata"].items() if key != "resourceVersion"}
            wanted = {**wanted, "metadata": kept}
        _check_identity(wanted, current, resource)
        return wanted

    return change


def _apply(current: Object, patch_type: PatchType, patch: Any, resource: Resource) -> Object:
    if patch_type == PatchType.JSON:
        return json_patch(current, patch)
    if patch_type == PatchType.MERGE:
        return merge_patch(current, patch)
    if patch_type == PatchType.STRATEGIC:
        from machinery.api.strategic import strategic_merge

        # Go makes the object of the result by its type, whatever the result calls itself.
        merged = strategic_merge(current, patch, resource)
        named = {key: current[key] for key in ("kind", "apiVersion") if isinstance(merged.get(key, ""), str)}
        return {**merged, **named}
    raise UnsupportedMediaType("415: Unsupported Media Type", tells_details=True)


def _check_kind(wanted: Object, resource: Resource) -> None:
    kind, version = wanted.get("kind") or resource.kind, wanted.get("apiVersion") or resource.api_version
    if not isinstance(kind, str) or not isinstance(version, str):
        # The types of its fields tell more.
        return
    if (kind, version) != (resource.kind, resource.api_version):
        why = unlike(version, kind, (resource.group, resource.version, resource.kind))
        raise _refused(_text(wanted), why)


def _checked(call: Call, patch_type: PatchType, patch: Any, wanted: Object, resource: Resource) -> Object:
    """The object, canonical; raises Invalid for wrong types always, for unknown and duplicate fields if Strict."""
    name = resource_message(resource)
    made = sound(wanted, name) if name is not None else None
    unknown, types = field_errors(wanted, resource) if made is None else ([], [])
    if types:
        if patch_type == PatchType.STRATEGIC:
            from machinery.api.type_errors import as_restored

            raise _refused(_shown(patch_type, patch, wanted), as_restored(types[0]))
        raise _refused(_text(wanted), types[0])
    found = [*call.complaints, *unknown]
    if found and call.field_validation == "Strict":
        raise _refused(_shown(patch_type, patch, wanted), strict_message(found))
    for each in found if call.field_validation == "Warn" else ():
        call.warn(each)
    return made if made is not None else canonical(wanted, resource)


def _shown(patch_type: PatchType, patch: Any, wanted: Object) -> str:
    """What is blamed: the object that the patch made, or of a strategic one the patch itself."""
    if patch_type != PatchType.STRATEGIC:
        return _text(wanted)
    from machinery.api.strategic import go_text

    return go_text(patch)


def _text(wanted: Object) -> str:
    return orjson.dumps(wanted).decode()


def _refused(shown: str, why: str) -> Invalid:
    return invalid("", "", [invalid_value("patch", shown, why)])


def _check_identity(wanted: Object, current: Object, resource: Resource) -> None:
    metadata = wanted["metadata"]
    check_name(metadata, current["metadata"]["name"])
    namespace = current["metadata"].get("namespace", "")
    if metadata.get("namespace", namespace) != namespace:
        raise wrong_namespace()
