"""What a kind's file says: its defaults and rules. `rules_for` finds the file by the resource's plural.

A kind's columns stand in `apiserver/columns`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

from machinery.api.errors import Cause
from machinery.api.resource import Object, Resource
from machinery.api.resources import BY_PATH
from machinery.structs import Struct, field


def _nothing(obj: Object) -> None:
    return None


def _valid(obj: Object) -> list[Cause]:
    return []


def _valid_update(new: Object, old: Object) -> list[Cause]:
    return []


def _unchanged(new: Object, old: Object) -> None:
    return None


def _no_warnings(obj: Object) -> list[str]:
    return []


def _no_update_warnings(new: Object, old: Object) -> list[str]:
    return []


class Rules(Struct, frozen=True):
    """All functions are pure but for changing the object handed to them, which is theirs.

    `default` fills in what upstream's defaulting does. `prepare_create` and `prepare_update(new, old)` are upstream's
    strategies (dropping status, setting phases). `validate`, `validate_update(new, old)` and
    `validate_status(new, old)`, which is asked where the status alone is written, return all errors;
    `prepare_status(new, old)` comes before it.
    """

    default: Callable[[Object], None] = _nothing
    prepare_create: Callable[[Object], None] = _nothing
    prepare_update: Callable[[Object, Object], None] = _unchanged
    validate: Callable[[Object], list[Cause]] = _valid
    validate_update: Callable[[Object, Object], list[Cause]] = _valid_update
    prepare_status: Callable[[Object, Object], None] = _unchanged
    validate_status: Callable[[Object, Object], list[Cause]] = _valid_update
    validate_parts: Mapping[str, Callable[[Object, Object], list[Cause]]] = field(default_factory=dict)
    """The same for whatever else a sub-resource of that name writes."""
    rechecked: Literal["first", "last", "never"] = "first"
    """When an update is also held to the rules of a new object: before `validate_update`'s, after them, or not."""
    warnings: Callable[[Object], list[str]] = _no_warnings
    update_warnings: Callable[[Object, Object], list[str]] = _no_update_warnings
    status_warnings: Callable[[Object], list[str]] = _no_warnings
    selectable_fields: tuple[str, ...] = ()
    """Field selectors beyond metadata.name and metadata.namespace."""
    has_generation: bool = False
    """`metadata.generation` counts changes of the spec."""
    is_stricter: bool = False
    """Of a version that is not the stored one: what comes by it is held, as it is stored, to its rules instead."""
    gated: Callable[[Mapping[str, bool]], Rules] | None = None
    """What the rules are by which features are on, for a kind whose rules depend on them."""


@cache
def rules_for(resource: Resource) -> Rules:
    """The kind's rules, imported at its first request; the plain `Rules` where the kind has no file of its own.

    A user's kind has none, whatever its name is.
    """
    if (resource.group, resource.version, resource.plural) not in BY_PATH:
        return Rules()
    name = _FILES.get((resource.group, resource.version, resource.plural), resource.plural)
    if importlib.util.find_spec(f"apiserver.kinds.{name}") is None:
        return Rules()
    rules: Rules = importlib.import_module(f"apiserver.kinds.{name}").RULES
    return rules


def rules_with(resource: Resource, features: Mapping[str, bool]) -> Rules:
    """The kind's rules where `features` says of each whether it is on."""
    rules = rules_for(resource)
    return rules if rules.gated is None else rules.gated(features)


_FILES = {
    ("events.k8s.io", "v1", "events"): "events_v1",
    ("autoscaling", "v1", "horizontalpodautoscalers"): "horizontalpodautoscalers_v1",
}
