"""Which of the classes that call themselves the default is it: StorageClasses and IngressClasses alike. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from machinery.api.resource import Object


def marked_default(classes: Iterable[Object], *annotations: str) -> Object | None:
    """Of those with one of the annotations the newest, of those the first by name; None where there is none."""
    defaults = [each for each in classes if _is_marked(each, annotations)]
    if not defaults:
        return None
    newest = max(str(each["metadata"].get("creationTimestamp")) for each in defaults)
    alike = [each for each in defaults if str(each["metadata"].get("creationTimestamp")) == newest]
    return min(alike, key=lambda each: str(each["metadata"]["name"]))


def _is_marked(each: Object, annotations: Iterable[str]) -> bool:
    said = each["metadata"].get("annotations") or {}
    return "true" in (said.get(annotation) for annotation in annotations)
