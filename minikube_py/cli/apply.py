"""`apply -f`: creates the objects of a manifest or patches them, so that a first walk needs no kubectl."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from machinery.api.resource import Resource
from machinery.api.resources import BY_KIND
from minikube_py.api import Api
from minikube_py.cli.options import existing_config
from minikube_py.cli.output import Output
from minikube_py.config import ConfigError


def run(arguments: argparse.Namespace) -> int:
    output, api = Output.of(arguments), Api(existing_config(arguments))
    results = [apply(api, obj, arguments.namespace) for obj in manifest(arguments.filename)]
    if output.as_json:
        output.say("", objects=results)
    else:
        for result in results:
            output.say(f"{result['object']} {result['did']}")
    return 0


def manifest(filename: str) -> list[dict[str, Any]]:
    """The objects of a file, `List`s unfolded; raises ConfigError for what is no manifest."""
    import yaml

    try:
        if filename == "-":
            documents = list(yaml.load_all(sys.stdin, yaml.CSafeLoader))
        else:
            with open(filename) as file:
                documents = list(yaml.load_all(file, yaml.CSafeLoader))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{filename}: {error}") from None
    found: list[dict[str, Any]] = []
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict) or "kind" not in document or "apiVersion" not in document:
            raise ConfigError(f"{filename}: a document without kind or apiVersion")
        found += document.get("items") or [] if document["kind"] == "List" else [document]
    return found


def apply(api: Api, obj: dict[str, Any], namespace: str) -> dict[str, str]:
    """What was done: `created`, `configured` or `unchanged`, and to which object."""
    group, _, version = str(obj["apiVersion"]).rpartition("/")
    resource = BY_KIND.get((group, version, obj["kind"]))
    if resource is None:
        raise ConfigError(f'no matches for kind "{obj["kind"]}" in version "{obj["apiVersion"]}"')
    metadata = obj.get("metadata") or {}
    where = metadata.get("namespace") or namespace if resource.namespaced else ""
    path = resource.path(where, metadata.get("name", ""))
    said = f"{resource.singular}{'.' + group if group else ''}/{metadata.get('name', '')}"
    before = api.find(path)
    if before is None:
        api.ask("POST", f"{resource.path(where)}?fieldManager=minikube-py", obj)
        return {"object": said, "did": "created"}
    after = api.ask("PATCH", f"{path}?fieldManager=minikube-py", obj, _patch_type(resource))
    same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    return {"object": said, "did": "unchanged" if same else "configured"}


def _patch_type(resource: Resource) -> str:
    custom = resource.group.endswith((".k8s.io",)) or "." not in resource.group
    return "application/strategic-merge-patch+json" if custom else "application/merge-patch+json"
