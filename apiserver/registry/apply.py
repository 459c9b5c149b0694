"""Server-side apply as far as it goes without managedFields: what is applied is merged in, lists by their keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.registry.call import Call
from apiserver.registry.fields import check_fields
from machinery.api.errors import BadRequest, Cause, invalid
from machinery.api.resource import Object


def check_apply(call: Call, patch: Any) -> None:
    """Raises BadRequest and Invalid for what can't be applied."""
    resource = call.resource
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: the applied configuration is no object")
    if not call.field_manager:
        message = "Required value: is required for apply patch"
        cause = Cause("FieldValueRequired", message, "fieldManager")
        raise invalid("PatchOptions", "", [cause], "meta.k8s.io")
    if patch.get("apiVersion") != resource.api_version or patch.get("kind") != resource.kind:
        raise BadRequest(
            f"invalid object type: {patch.get('apiVersion', '')}, Kind={patch.get('kind', '')}; "
            f"expected {resource.api_version}, Kind={resource.kind}"
        )
    if (patch.get("metadata") or {}).get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    check_fields(patch, resource, call)


def applied(call: Call, patch: Object, *, force: bool) -> Callable[[Object], Object]:
    """The change that merges the applied object into the current one."""
    from machinery.api.strategic import strategic_merge

    def change(current: Object) -> Object:
        merged = strategic_merge(current, patch, call.resource)
        metadata = {key: value for key, value in merged["metadata"].items() if key != "resourceVersion"}
        version = (patch.get("metadata") or {}).get("resourceVersion")
        return {**merged, "metadata": {**metadata, **({"resourceVersion": version} if version else {})}}

    return change
