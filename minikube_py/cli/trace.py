"""`trace deploy/NAME`: the seven steps of a workload with their times, read from the API's objects and events."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from minikube_py.api import Api
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.config import ConfigError


@dataclass(frozen=True)
class Step:
    """`at` is RFC 3339, `after` the seconds since the Deployment was stored."""

    what: str
    at: str
    after: float


def run(arguments: argparse.Namespace) -> int:
    sort, _, name = arguments.workload.partition("/")
    if sort not in ("deploy", "deployment", "deployments", "deployment.apps") or not name:
        raise ConfigError(f"{arguments.workload!r}: say deploy/NAME")
    output = Output.of(arguments)
    steps = trace(Api(existing_config(arguments)), arguments.namespace, name)
    if output.as_json:
        output.say("", steps=[asdict(step) for step in steps])
    for number, step in enumerate(steps, 1):
        if not output.as_json:
            output.say(f"{number}. +{step.after:6.3f} s  {step.what}")
    return 0


def trace(api: Api, namespace: str, name: str) -> list[Step]:
    """The steps of the Deployment's newest ReplicaSet and its first pod; raises ApiError where it doesn't exist."""
    deployment = api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
    sets = _owned(api.get(f"/apis/apps/v1/namespaces/{namespace}/replicasets")["items"], deployment)
    newest = max(sets, key=_created, default=None)
    pods = _owned(api.get(f"/api/v1/namespaces/{namespace}/pods")["items"], newest) if newest else []
    pod = min(pods, key=_created, default=None)
    events = api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
    return steps(deployment, newest, pod, events)


def steps(
    deployment: dict[str, Any], replica_set: dict[str, Any] | None, pod: dict[str, Any] | None, events: list[Any]
) -> list[Step]:
    """Which of the steps have happened, in order."""
    rows: list[tuple[str, str]] = [("stored: Deployment accepted by the API server", _created(deployment))]
    if replica_set:
        said = f"ReplicaSet {replica_set['metadata']['name']} made by the deployment controller"
        rows.append((said, _created(replica_set)))
    if pod:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        rows.append((f"Pod {name} made by the replicaset controller", _created(pod)))
        conditions = {c["type"]: c for c in pod["status"].get("conditions") or [] if c["status"] == "True"}
        if "PodScheduled" in conditions:
            said = f"scheduled to node {pod['spec'].get('nodeName')}"
            rows.append((said, conditions["PodScheduled"]["lastTransitionTime"]))
        about = [event for event in events if event["involvedObject"].get("uid") == uid]
        rows += [(said, at) for reason in ("Pulled", "Started") for said, at in _said(about, reason)]
        if "Ready" in conditions:
            rows.append((f"Ready at {pod['status'].get('podIP')}", conditions["Ready"]["lastTransitionTime"]))
    begin = _time(rows[0][1])
    return [Step(what, at, round((_time(at) - begin).total_seconds(), 3)) for what, at in rows]


def _said(events: list[Any], reason: str) -> list[tuple[str, str]]:
    found = [event for event in events if event["reason"] == reason]
    return [(event["message"], event.get("eventTime") or event["firstTimestamp"]) for event in found[:1]]


def _owned(objects: list[Any], owner: dict[str, Any]) -> list[Any]:
    uid = owner["metadata"]["uid"]
    return [o for o in objects if any(ref["uid"] == uid for ref in o["metadata"].get("ownerReferences") or [])]


def _created(obj: dict[str, Any]) -> str:
    at: str = obj["metadata"]["creationTimestamp"]
    return at


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
