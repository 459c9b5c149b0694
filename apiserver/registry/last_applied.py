"""The upgrade from client-side to server-side apply: what kubectl once applied is no conflict for it, and stays told.

Client-side apply leaves its whole configuration in an annotation. As long as a field is as it was set there, nobody
else has touched it, so kubectl (by its field manager's name alone) takes it over without force. Pure.
"""

from __future__ import annotations

import json
from typing import Any

from apiserver.registry.fieldset import compare, root_difference
from apiserver.registry.managed import bare, schema_of
from apiserver.registry.wholeset import Trie, configured
from machinery.api.go_encoding import go_encoded
from machinery.api.resource import Object, Resource

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "kubectl"


def untouched(live: Object, resource: Resource) -> Trie | None:
    """The fields that were applied by the client and are still as they were set."""
    last = _last_applied(live)
    if not isinstance(last, dict) or last.get("apiVersion") != resource.api_version:
        return None
    schema = schema_of(resource)
    applied = bare({**last, "metadata": last.get("metadata") or {}})
    changed, removed = compare(applied, bare(live), schema)
    return root_difference(root_difference(configured(applied, schema), changed), removed)


def told(value: Object, patch: Object) -> Object:
    """`value` with the annotation brought up to the configuration that was applied now; as it is where it has none."""
    annotations = (value.get("metadata") or {}).get("annotations") or {}
    if not annotations.get(ANNOTATION):
        return value
    metadata = dict(patch.get("metadata") or {})
    if ANNOTATION in (metadata.get("annotations") or {}):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != ANNOTATION}
    text = go_encoded({**patch, "metadata": metadata}, sort_keys=True) + "\n"
    return {**value, "metadata": {**value["metadata"], "annotations": {**annotations, ANNOTATION: text}}}


def _last_applied(live: Object) -> Any:
    text = (live["metadata"].get("annotations") or {}).get(ANNOTATION)
    try:
        return json.loads(text or "null")
    except ValueError:
        return None
