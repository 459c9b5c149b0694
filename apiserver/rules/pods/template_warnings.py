"""What a kind with a pod template warns of beside its own: the template's, on create and whenever its spec changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.rules.pods.pod_warnings import template_warnings
from machinery.api.resource import Object

Warnings = Callable[[Object], list[str]]
UpdateWarnings = Callable[[Object, Object], list[str]]


def _nothing(obj: Object) -> list[str]:
    return []


def _nothing_changed(new: Object, old: Object) -> list[str]:
    return []


def warnings_of(path: str, own: Warnings = _nothing) -> Warnings:
    """The kind's `own` warnings of a new object, and those of the template at the dotted path."""
    return lambda obj: [*own(obj), *template_warnings(_at(obj, path), path)]


def update_warnings_of(path: str, own: UpdateWarnings = _nothing_changed) -> UpdateWarnings:
    """The same for a changed object, whose template is told of where the generation has moved."""

    def warnings(new: Object, old: Object) -> list[str]:
        is_same = new["metadata"].get("generation") == old["metadata"].get("generation")
        return [*own(new, old), *(() if is_same else template_warnings(_at(new, path), path))]

    return warnings


def _at(obj: Object, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = (value or {}).get(part)
    return value
