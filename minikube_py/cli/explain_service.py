"""`explain-service NAME`: the rules behind a Service, and who drops its packets."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from kubelet.policy.policies import policy, residents
from kubelet.proxy.explain import Observed, explain, said
from kubelet.proxy.live import LiveTable, live_table
from kubelet.proxy.shadows import claimed, present
from machinery.api.resources import ENDPOINT_SLICES, NAMESPACES, NETWORK_POLICIES, PODS, SERVICES
from machinery.api.views import SERVICE_NAME
from machinery.ip_families import FAMILIES, Family, families_of
from machinery.linux import nft
from minikube_py.api import Api
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.config import Config, ConfigError
from minikube_py.node import policy_table, proxy_config, runtime_config, uses_bridge
from runtime.network.rules import closed_chains


def run(arguments: argparse.Namespace) -> int:
    config, output = existing_config(arguments), Output.of(arguments)
    found = explain(observe(config, arguments.namespace, arguments.service.removeprefix("service/")))
    if output.as_json:
        output.say("", **asdict(found))
    else:
        output.say("\n".join(said(found)))
    return 0


def observe(config: Config, namespace: str, name: str) -> Observed:
    """Objects by the API, rules by the kernel, listeners by /proc; raises ConfigError without the Service."""
    api = Api(config)
    service = api.find(SERVICES.path(namespace, name))
    if service is None:
        raise ConfigError(f"there is no service {name!r} in namespace {namespace}")
    pods = api.get(PODS.path())["items"]
    slices = api.get(ENDPOINT_SLICES.path(namespace))["items"]
    listed = nft.query("list ruleset")
    shadows = present(claimed([service]))
    return Observed(
        service=service,
        slices=[each for each in slices if (each["metadata"].get("labels") or {}).get(SERVICE_NAME) == name],
        pods=[pod for pod in pods if pod["metadata"]["namespace"] == namespace],
        node=config.node,
        policies=[policy(each) for each in api.get(NETWORK_POLICIES.path())["items"]],
        residents=residents(pods, api.get(NAMESPACES.path())["items"], {}),
        services_tables=_tables(listed, proxy_config(config).table),
        policies_tables=_tables(listed, policy_table(config)),
        firewalls=closing_firewalls(config, listed),
        shadows=[shadow.said(program) for shadow, program in shadows.items()],
    )


def closing_firewalls(config: Config, listed: list[dict[str, Any]]) -> list[str]:
    """The chains of others that stop pods' packets, from what `list ruleset` tells."""
    if not uses_bridge(config):
        # The pods' network is another's, and so is its way through.
        return []
    closed = closed_chains(listed, runtime_config(config).table, families_of(config.pod_cidr))
    return [f"{each.family} {each.table} {each.name}" for each in closed]


def _tables(listed: list[dict[str, Any]], name: str) -> dict[Family, LiveTable]:
    """Those of the name that there are."""
    found = {}
    for family in FAMILIES:
        wanted = {"family": family.word, "table": name}
        mine = [entry for entry in listed if any(wanted.items() <= part.items() for part in entry.values())]
        if mine:
            found[family] = live_table(mine, nft.run(f"list table {family.table(name)}"))
    return found
