"""`explain-pending POD`: node by node which filter refuses the pod, and what would help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from machinery.api.resource import Object, Resource
from machinery.api.resources import PODS
from machinery.client.cache import Change
from minikube_py.api import Api
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.config import ConfigError
from minikube_py.scheduler_config import load
from scheduler.cluster import FOLLOWED, Cluster
from scheduler.explain import Explanation, explain


class Fetched:
    """The cluster as it is now, each resource listed once, when it is asked for (`scheduler.cluster.Reader`)."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lists: dict[Resource, list[Object]] = {}

    def list(self, resource: Resource, namespace: str = "") -> Sequence[Object]:
        if resource not in self._lists:
            self._lists[resource] = self._api.get(resource.path())["items"]
        found = self._lists[resource]
        return [each for each in found if each["metadata"]["namespace"] == namespace] if namespace else found

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        found = self.list(resource, namespace)
        return next((each for each in found if each["metadata"]["name"] == name), None)


def run(arguments: argparse.Namespace) -> int:
    config, output = existing_config(arguments), Output.of(arguments)
    api, profiles = Api(config), load(config.scheduler_config).profiles
    name = arguments.pod.removeprefix("pod/")
    pod = api.find(PODS.path(arguments.namespace, name))
    if pod is None:
        raise ConfigError(f"there is no pod {name!r} in namespace {arguments.namespace}")
    reader = Fetched(api)
    cluster = Cluster(reader)
    for resource in FOLLOWED:
        for each in reader.list(resource):
            cluster.see(Change(resource, None, each))
    found = explain(pod, cluster, profiles)
    if output.as_json:
        output.say("", **_facts(found))
    else:
        output.say("\n".join(_lines(name, found)))
    return 0


def _lines(name: str, found: Explanation) -> list[str]:
    lines = [f"{name}: {found.summary}"]
    if found.helps:
        lines.append(f"  {found.helps}")
    for node, verdicts in found.nodes.items():
        lines.append(f"{node}:" if verdicts else f"{node}: takes it")
        for verdict in verdicts:
            lines.append(f"  {verdict.plugin}: {', '.join(verdict.reasons)}")
            if verdict.helps:
                lines.append(f"    {verdict.helps}")
    return lines


def _facts(found: Explanation) -> dict[str, Any]:
    nodes = {
        name: [{"plugin": each.plugin, "reasons": list(each.reasons), "helps": each.helps} for each in verdicts]
        for name, verdicts in found.nodes.items()
    }
    return {"summary": found.summary, "helps": found.helps, "nodes": nodes}
