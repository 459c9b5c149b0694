"""`tree KIND/NAME`: what the object owns and what owns it, the order in which a foreground deletion takes it away."""

from __future__ import annotations

import argparse
from typing import Any

from minikube_py.api import Api
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.config import ConfigError
from minikube_py.owner_graph import Line, Member, OwnerGraph


def run(arguments: argparse.Namespace) -> int:
    kind, _, name = arguments.object.partition("/")
    if not kind or not name:
        raise ConfigError(f"{arguments.object!r}: say KIND/NAME")
    output = Output.of(arguments)
    api = Api(existing_config(arguments))
    rows = _rows(api)
    graph = OwnerGraph(_objects(api, rows, arguments.namespace))
    member = graph.find(_kind(rows, kind), name)
    if member is None:
        raise ConfigError(f"there is no {kind} {name!r} in namespace {arguments.namespace}")
    lines = [line for root in graph.roots_of(member) for line in graph.below(root)]
    order, cycles = graph.foreground_order(member), graph.cycles()
    if output.as_json:
        output.say("", tree=[_facts(line) for line in lines], foreground=[str(each) for each in order],
                   cycles=[[str(each) for each in ring] for ring in cycles])  # fmt: skip
        return 0
    for line in lines:
        output.say(_shown(line, member))
    if len(order) > 1:
        output.say(f"\ndeleted in the foreground: {', '.join(str(each) for each in order)}")
    for ring in cycles:
        output.say(f"own each other: {', '.join(str(each) for each in ring)}")
    return 0


def _rows(api: Api) -> list[tuple[str, dict[str, Any]]]:
    """Path and discovery's entry of everything that lives in namespaces and can be listed, Events apart."""
    groups = [group["preferredVersion"]["groupVersion"] for group in api.get("/apis")["groups"]]
    found = [(path, row) for path in ("/api/v1", *(f"/apis/{each}" for each in groups))
             for row in api.get(path)["resources"]]  # fmt: skip
    wanted = [(path, row) for path, row in found if row["namespaced"] and "list" in row["verbs"]]
    return [(path, row) for path, row in wanted if row["kind"] != "Event"]


def _kind(rows: list[tuple[str, dict[str, Any]]], said: str) -> str:
    """The kind by any of its names: deploy, deployments, Deployment."""
    wanted = said.lower().partition(".")[0]
    for _, row in rows:
        if wanted in (row["name"], row["singularName"], row["kind"].lower(), *row.get("shortNames", ())):
            kind: str = row["kind"]
            return kind
    return said


def _objects(api: Api, rows: list[tuple[str, dict[str, Any]]], namespace: str) -> list[dict[str, Any]]:
    """Everything that the namespace holds, each with its kind."""
    found: list[dict[str, Any]] = []
    for path, row in rows:
        listed = api.get(f"{path}/namespaces/{namespace}/{row['name']}")
        found += [{"kind": row["kind"], **item} for item in listed["items"]]
    return found


def _shown(line: Line, asked: Member) -> str:
    mark = " <" if line.member == asked else ""
    note = "see above" if line.again else line.member.note
    return f"{'  ' * line.depth}{line.member}{f'  ({note})' if note else ''}{mark}"


def _facts(line: Line) -> dict[str, Any]:
    member = line.member
    return {"depth": line.depth, "kind": member.kind, "name": member.name, "uid": member.uid, "note": member.note}
