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
from apiserver.columns.pod_cells import conditions
from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS

_ALWAYS: dict[str, Cell] = {"Name": name, "Age": age, "Created At": created}
_CELLS: dict[str, dict[str, Cell]] = {
    **core.CELLS,
    **workloads.CELLS,
    **network.CELLS,
    **storage.CELLS,
    **policy.CELLS,
}


def table(
    resource: Resource,
    objects: Iterable[Object],
    now: datetime,
    include: str = "Metadata",
    *,
    columns: bool = True,
    version: str = "v1",
) -> Object:
    """A Table of `meta.k8s.io` without list metadata; `include` is None, Metadata or Object, as the client asks.

    Watches ask for `columns` in their first event alone.
    """
    definitions = column_definitions(resource)
    cells = _CELLS.get(resource.plural, {})
    functions = [cells.get(column["name"]) or _ALWAYS.get(column["name"]) or _empty for column in definitions]
    functions += _UNTITLED.get(resource.plural, ())
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {},
        "columnDefinitions": definitions if columns else None,
        "rows": [
            {
                "cells": [function(obj, now) for function in functions],
                **_marks(resource, obj),
                "object": shown(obj, include, version),
            }
            for obj in sorted(objects, key=_ORDERS.get(resource.plural, _as_listed))
        ],
    }


def _marks(resource: Resource, obj: Object) -> Object:
    found = conditions(obj) if resource == PODS else []
    return {"conditions": found} if found else {}


def _as_listed(obj: Object) -> tuple[()]:
    return ()


def _by_precedence(schema: Object) -> tuple[int, str]:
    return (schema.get("spec") or {}).get("matchingPrecedence") or 0, schema["metadata"].get("name", "")


# Upstream tells the age of an IPAddress below no title.
_UNTITLED: dict[str, tuple[Cell, ...]] = {"ipaddresses": (age,)}
# Upstream shows FlowSchemas in the order in which requests are held against them.
_ORDERS = {"flowschemas": _by_precedence}


def shown(obj: Object, include: str, version: str = "v1") -> Object | None:
    """What a row tells of its object."""
    if include == "None":
        return None
    return obj if include == "Object" else partial_metadata(obj, version)


def partial_metadata(obj: Object, version: str = "v1") -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


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
