"""`tree KIND/NAME`: what the object owns and what owns it, the order in which a foreground deletion takes it away."""

from __future__ import annotations

import argparse
from typing import Any

from minikube_py.api import Api, Listable
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
    rows = [each for each in api.listable() if each.row["namespaced"] and each.kind != "Event"]
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


def _kind(rows: list[Listable], said: str) -> str:
    """The kind by any of its names: deploy, deployments, Deployment."""
    wanted = said.lower().partition(".")[0]
    for each in rows:
        if wanted in (each.name, each.row["singularName"], each.kind.lower(), *each.row.get("shortNames", ())):
            return each.kind
    return said


def _objects(api: Api, rows: list[Listable], namespace: str) -> list[dict[str, Any]]:
    """Everything that the namespace holds, each with its kind."""
    return [{"kind": each.kind, **item} for each in rows for item in api.get(each.path(namespace))["items"]]


def _shown(line: Line, asked: Member) -> str:
    mark = " <" if line.member == asked else ""
    note = "see above" if line.again else line.member.note
    return f"{'  ' * line.depth}{line.member}{f'  ({note})' if note else ''}{mark}"


def _facts(line: Line) -> dict[str, Any]:
    member = line.member
    return {"depth": line.depth, "kind": member.kind, "name": member.name, "uid": member.uid, "note": member.note}
