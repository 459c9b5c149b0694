"""The differences of two specs as upstream shows them in refusals of updates: a unified diff of indented JSON.

Upstream prints its internal types, where every field has its Go name and is written even if it's unset.
"""

from __future__ import annotations

import difflib
import json
from typing import Any

from machinery.api.resource import Object

_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
"""What Go escapes in JSON, so that it can stand in a web page."""


def unified(old: Any, new: Any) -> str:
    """What differs, with three lines around; empty where nothing does."""
    before, after = (_lines(value) for value in (old, new))
    lines = list(difflib.unified_diff(before, after, lineterm="", n=3))
    return "".join(f"{line}\n" for line in lines[2:])


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=1, ensure_ascii=False).translate(_ESCAPES).splitlines()


def internal_claim_spec(spec: Object) -> Object:
    """A PersistentVolumeClaim's spec by the names of upstream's internal type."""
    resources, source = spec.get("resources") or {}, spec.get("dataSource")
    reference = spec.get("dataSourceRef")
    return {
        "AccessModes": spec.get("accessModes"),
        "Selector": spec.get("selector"),
        "Resources": {"Limits": _sorted(resources.get("limits")), "Requests": _sorted(resources.get("requests"))},
        "VolumeName": spec.get("volumeName") or "",
        "StorageClassName": spec.get("storageClassName"),
        "VolumeMode": spec.get("volumeMode"),
        "DataSource": source and _reference(source),
        "DataSourceRef": reference and {**_reference(reference), "Namespace": reference.get("namespace")},
        "VolumeAttributesClassName": spec.get("volumeAttributesClassName"),
    }


def _reference(source: Object) -> Object:
    return {"APIGroup": source.get("apiGroup"), "Kind": source.get("kind", ""), "Name": source.get("name", "")}


def _sorted(values: Object | None) -> Object | None:
    return dict(sorted(values.items())) if values is not None else None
