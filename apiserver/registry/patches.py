"""PATCH: the current object, the patch and its type make the wanted object. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.registry.call import Call
from apiserver.registry.fields import check_fields
from apiserver.registry.metadata import check_name
from machinery.api.errors import BadRequest, UnsupportedMediaType
from machinery.api.patch import json_patch, merge_patch
from machinery.api.resource import Object, Resource
from machinery.client.client import PatchType


def patched(call: Call, patch_type: PatchType, patch: Any, resource: Resource) -> Callable[[Object], Object]:
    """The change that the patch asks for, checked as a request's body would be."""

    def change(current: Object) -> Object:
        wanted = _apply(current, patch_type, patch, resource)
        if wanted.get("metadata") is None:
            wanted = {**wanted, "metadata": {}}
        check_fields(wanted, resource, call)
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
    if not isinstance(patch, dict):
        raise BadRequest(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    if patch_type == PatchType.MERGE:
        return merge_patch(current, patch)
    if patch_type == PatchType.STRATEGIC:
        from machinery.api.strategic import strategic_merge

        return strategic_merge(current, patch, resource)
    raise UnsupportedMediaType("415: Unsupported Media Type")


def _check_identity(wanted: Object, current: Object, resource: Resource) -> None:
    metadata = wanted["metadata"]
    check_name(metadata, current["metadata"]["name"])
    namespace = current["metadata"].get("namespace", "")
    if metadata.get("namespace", namespace) != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
