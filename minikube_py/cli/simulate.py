"""`simulate`: nodes that nobody runs, and pods on them that do as stages say; without options what there is of them."""

from __future__ import annotations

import argparse
import select
import time
from collections import Counter
from pathlib import Path
from typing import Any

from machinery.api.resource import Object
from machinery.api.resources import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS
from machinery.api.views import View
from minikube_py.api import Api, ApiError
from minikube_py.cli.apply import apply
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.config import ConfigError
from minikube_py.simulation import stage_book
from minikube_py.simulation.fleet import LABEL, NAME, Fleet, is_simulated, workload
from minikube_py.simulation.stage_files import StageError, read

PATIENCE = 600.0
LOOK_EVERY = 0.5
BUILT_IN = "fast"
_OURS = f"labelSelector={LABEL[0]}%3D{LABEL[1]}"


def run(arguments: argparse.Namespace) -> int:
    output, api = Output.of(arguments), Api(existing_config(arguments), timeout=60.0)
    if arguments.delete:
        _delete(api)
    if arguments.stages is not None:
        _use_stages(api, arguments.stages)
    if arguments.nodes is not None:
        _resize(api, _fleet(arguments), output)
    if arguments.pods is not None:
        _check(arguments.pods, "--pods")
        apply(api, workload(arguments.pods), "default")
    _tell(api, output)
    return 0


def _use_stages(api: Api, filename: str) -> None:
    """Puts the file into the ConfigMap from which the cluster reads stages; `fast` takes that away."""
    if filename == BUILT_IN:
        _gone(api, CONFIG_MAPS.path(stage_book.NAMESPACE, stage_book.NAME), None)
        return
    try:
        text = Path(filename).read_text()
        read(text)
    except (OSError, UnicodeDecodeError, StageError) as error:
        raise ConfigError(f"--stages: {filename}: {error}") from None
    metadata = {"name": stage_book.NAME, "namespace": stage_book.NAMESPACE}
    apply(api, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {stage_book.FILE: text}}, "")


def _fleet(arguments: argparse.Namespace) -> Fleet:
    _check(arguments.nodes, "--nodes")
    _check(arguments.zones, "--zones")
    return Fleet(
        nodes=arguments.nodes,
        zones=arguments.zones,
        cpu=arguments.cpu,
        memory=arguments.memory,
        pods=arguments.pods_per_node,
        is_tainted=not arguments.untainted,
    )


def _check(number: int, option: str) -> None:
    if number < 0:
        raise ConfigError(f"{option} can't be less than none")


def _resize(api: Api, fleet: Fleet, output: Output) -> None:
    """Makes the nodes that are missing, takes those away that are too many, and waits until all are Ready."""
    wanted = fleet.names()
    there = {View(node).name for node in _nodes(api) if View(node).name.startswith(f"{NAME}-")}
    for name in sorted(there - set(wanted)):
        api.ask("DELETE", NODES.path("", name))
    missing = [index for index, name in enumerate(wanted) if name not in there]
    if missing:
        output.progress(f"{len(missing)} node(s) to make")
    for index in missing:
        api.ask("POST", f"{NODES.path()}?fieldManager=minikube-py", fleet.node(index))
    end = time.monotonic() + PATIENCE
    while any(not _is_in_use(node) for node in _nodes(api)):
        if time.monotonic() > end:
            raise ConfigError(f"the nodes are not Ready after {PATIENCE:.0f} s; do the controllers run?")
        select.select([], [], [], LOOK_EVERY)


def _is_in_use(node: Object) -> bool:
    """Ready, and the controllers have seen it."""
    taints = (node.get("spec") or {}).get("taints") or ()
    return View(node).is_true("Ready") and not any(each["key"] == "node.kubernetes.io/not-ready" for each in taints)


def _nodes(api: Api) -> list[Object]:
    return [node for node in api.get(f"{NODES.path()}?{_OURS}")["items"] if is_simulated(node)]


def _delete(api: Api) -> None:
    """Takes away what this command made; the pods of others on such nodes go as those of any node that goes."""
    background = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
    _gone(api, DEPLOYMENTS.path("default", NAME), background)
    _gone(api, CONFIG_MAPS.path(stage_book.NAMESPACE, stage_book.NAME), None)
    for node in _nodes(api):
        _gone(api, NODES.path("", View(node).name), None)


def _gone(api: Api, path: str, body: Any) -> None:
    try:
        api.ask("DELETE", path, body)
    except ApiError as error:
        if error.code != 404:
            raise


def _tell(api: Api, output: Output) -> None:
    nodes = _nodes(api)
    names = {View(node).name for node in nodes}
    ready = sum(View(node).is_true("Ready") for node in nodes)
    pods = [pod for pod in api.get(PODS.path())["items"] if pod["spec"].get("nodeName") in names] if names else []
    counted = Counter((pod.get("status") or {}).get("phase") or "Unknown" for pod in pods)
    phases = dict(sorted(counted.items()))
    said = ", ".join(f"{count} {phase}" for phase, count in phases.items()) or "none"
    facts = {"nodes": len(nodes), "ready": ready, "pods": phases}
    output.say(f"{len(nodes)} simulated node(s), {ready} Ready; pods on them: {said}", **facts)
