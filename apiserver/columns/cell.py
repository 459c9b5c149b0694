"""What cells are made of: a cell is a function of the object and the time, and these are the words they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from machinery.api import timestamps
from machinery.api.resource import Object

Cell = Callable[[Object, datetime], Any]
NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"


def name(obj: Object, now: datetime) -> str:
    return str(obj["metadata"].get("name", ""))


def created(obj: Object, now: datetime) -> str:
    """Go's first moment for what was never created, like a review."""
    return obj["metadata"].get("creationTimestamp") or "0001-01-01T00:00:00Z"


def age(obj: Object, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def since(text: str | None, now: datetime) -> str:
    """How long ago, as kubectl says it; `<unknown>` where there is no time."""
    return timestamps.age(timestamps.parse_time(text), now) if text else UNKNOWN


def at(*path: str, default: Any = "") -> Cell:
    """The value at a path of the object, `default` where it is absent or null."""

    def cell(obj: Object, now: datetime) -> Any:
        value: Any = obj
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return default if value is None else value

    return cell


def count(*path: str) -> Cell:
    """How many entries the list or map at a path has."""
    found = at(*path, default=())
    return lambda obj, now: len(found(obj, now))


def joined(values: Iterable[Any], *, separator: str = ",", empty: str = NONE) -> str:
    return separator.join(str(value) for value in values) or empty


def labels(selector: dict[str, str] | None) -> str:
    return joined(sorted(f"{key}={value}" for key, value in (selector or {}).items()))


def label_selector(selector: Object | None) -> str:
    """A LabelSelector as `metav1.FormatLabelSelector` writes it: labels and expressions by their key."""
    selector = selector or {}
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for entry in selector.get("matchExpressions") or []:
        values = ",".join(sorted(entry.get("values") or []))
        parts.append((entry["key"], _expression(entry["key"], entry["operator"], values)))
    return joined(said for _, said in sorted(parts, key=itemgetter(0)))


def _expression(key: str, operator: str, values: str) -> str:
    if operator == "Exists":
        return str(key)
    if operator == "DoesNotExist":
        return f"!{key}"
    return f"{key} {'in' if operator == 'In' else 'notin'} ({values})"


def first_few(values: Sequence[object], most: int = 3, *, separator: str = ",", empty: str = NONE) -> str:
    """The first of them, and how many more there are."""
    more = f" + {len(values) - most} more..." if len(values) > most else ""
    return joined(values[:most], separator=separator, empty=empty) + more


def template_containers(*path: str) -> Cell:
    return _of_containers(path, "name")


def template_images(*path: str) -> Cell:
    return _of_containers(path, "image")


def _of_containers(path: tuple[str, ...], field: str) -> Cell:
    containers = at(*path, "spec", "containers", default=())
    return lambda obj, now: joined((c.get(field, "") for c in containers(obj, now)), empty="")


def condition(obj: Object, kind: str) -> Object | None:
    return next((c for c in (obj.get("status") or {}).get("conditions") or [] if c.get("type") == kind), None)


def holds(obj: Object, kind: str) -> bool:
    return (condition(obj, kind) or {}).get("status") == "True"
