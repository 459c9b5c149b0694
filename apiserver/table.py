"""The Table that `kubectl get` asks for: columns from upstream's data, cells from `columns/`, one function a column."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from apiserver.columns import core, network, policy, storage, workloads
from apiserver.columns.cell import Cell, age, created, name
from machinery.api.resource import Object, Resource

_ALWAYS: dict[str, Cell] = {"Name": name, "Age": age, "Created At": created}
_CELLS: dict[str, dict[str, Cell]] = {
    **core.CELLS,
    **workloads.CELLS,
    **network.CELLS,
    **storage.CELLS,
    **policy.CELLS,
}


def table(
    resource: Resource, objects: Iterable[Object], now: datetime, include: str = "Metadata", *, columns: bool = True
) -> Object:
    """A `meta.k8s.io/v1` Table without list metadata; `include` is None, Metadata or Object, as the client asks.

    Watches ask for `columns` in their first event alone.
    """
    definitions = column_definitions(resource)
    cells = _CELLS.get(resource.plural, {})
    functions = [cells.get(column["name"]) or _ALWAYS.get(column["name"]) or _empty for column in definitions]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": definitions if columns else None,
        "rows": [_row(obj, [function(obj, now) for function in functions], include) for obj in objects],
    }


def _row(obj: Object, cells: list[Any], include: str) -> Object:
    return {"cells": cells, "object": shown(obj, include)}


def shown(obj: Object, include: str) -> Object | None:
    """What a row tells of its object."""
    if include == "None":
        return None
    return obj if include == "Object" else partial_metadata(obj)


def partial_metadata(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


@cache
def column_definitions(resource: Resource) -> list[Object]:
    """As `columnDefinitions` of the Table; Name and creation time alone where upstream has no printer."""
    rows = _columns().get(f"{resource.group}/{resource.version}/{resource.plural}")
    rows = rows or [["Name", "string", "name", 0], ["Created At", "date", "", 0]]
    return [
        {
            "name": title,
            "type": kind,
            "format": form,
            "description": _description(resource, title),
            "priority": priority,
        }
        for title, kind, form, priority in rows
    ]


def _description(resource: Resource, title: str) -> str:
    texts = _descriptions()
    return texts.get(resource.plural, {}).get(title) or texts["*"].get(title, "")


@cache
def _descriptions() -> dict[str, dict[str, str]]:
    """What each column is about; `scripts/columns` takes that from the API's own descriptions."""
    texts: dict[str, dict[str, str]] = json.loads((files("apiserver.columns") / "data/descriptions.json").read_bytes())
    return texts


@cache
def _columns() -> dict[str, list[list[Any]]]:
    columns: dict[str, list[list[Any]]] = json.loads((files("machinery.api") / "data/table-columns.json").read_bytes())
    return columns


def _empty(obj: Object, now: datetime) -> str:
    return ""
