"""The group metrics.k8s.io (v1beta1), served in the process from whoever knows what nodes and pods use.

Its two kinds are read only and nowhere stored: what is asked for is read then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import unquote

from aiohttp import web

from apiserver.http import answer, negotiation
from apiserver.http.incoming import Incoming
from apiserver.registry.selection import field_value
from apiserver.request import Attributes, User
from machinery.api.errors import NotFound, method_not_allowed, not_found
from machinery.api.resource import Object, Resource
from machinery.api.resources import NODES, PODS
from machinery.api.selectors import parse_fields, parse_labels
from machinery.api.timestamps import rfc3339
from machinery.client.cache import Cache
from machinery.structs import Struct
from machinery.usage import Usage, Usages, UsageSource

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
NODE_METRICS = Resource(GROUP, VERSION, "NodeMetrics", "nodes", namespaced=False, verbs=("get", "list"))
POD_METRICS = Resource(GROUP, VERSION, "PodMetrics", "pods", verbs=("get", "list"))
_ROOT = f"/apis/{GROUP}/{VERSION}/"


class _Asked(Struct, frozen=True):
    resource: Resource
    namespace: str = ""
    name: str = ""


class MetricsGroup:
    """Answers below the group's path; `authorize` raises Forbidden."""

    def __init__(self, cache: Cache, source: UsageSource, authorize: Callable[[Attributes], None]) -> None:
        self._cache, self._source, self._authorize = cache, source, authorize

    async def answer(self, incoming: Incoming, user: User) -> web.Response | None:
        """None for the paths of others; raises StatusError."""
        asked = _asked(incoming.path)
        if asked is None:
            return None
        resource, name = asked.resource, asked.name
        verb = "get" if name else "list"
        if incoming.method not in ("GET", "HEAD") or incoming.flag("watch"):
            raise method_not_allowed()
        self._authorize(Attributes(user, verb, GROUP, VERSION, resource.plural, "", asked.namespace, name))
        usages = await self._source.usages()
        listed = self._listed(asked, incoming, usages)
        media = negotiation.negotiate(incoming.accept)
        if name and not listed:
            named = f"{asked.namespace}/{name}" if asked.namespace else name
            raise not_found(resource.kind.lower(), named, GROUP)
        if media.form == "table":
            body: Object = _table(listed, incoming.query.get("includeObject") or "Metadata")
        else:
            body = listed[0] if name else _list(resource, listed)
        content_type = "application/yaml" if media.is_yaml else "application/json"
        return answer.respond(incoming, 200, answer.encode(incoming, body, media.is_yaml), content_type)

    def _listed(self, asked: _Asked, incoming: Incoming, usages: Usages) -> list[Object]:
        """The metrics of the objects that are meant and of which they are known, in the order of their names."""
        kind = NODES if asked.resource == NODE_METRICS else PODS
        labels = parse_labels(incoming.query.get("labelSelector") or "")
        fields = parse_fields(incoming.query.get("fieldSelector") or "")
        objects: Iterable[Object] = self._cache.list(kind, asked.namespace)
        if asked.name:
            found = self._cache.get(kind, asked.namespace, asked.name)
            objects = [] if found is None else [found]
        chosen = [
            each
            for each in objects
            if labels.matches(each["metadata"].get("labels")) and fields.matches(partial(field_value, each))
        ]
        chosen.sort(key=lambda each: (each["metadata"].get("namespace", ""), each["metadata"]["name"]))
        made = (_node(each, usages) if kind == NODES else _pod(each, usages) for each in chosen)
        return [each for each in made if each is not None]


def _asked(path: str) -> _Asked | None:
    if not path.startswith(_ROOT):
        return None
    match [unquote(part) for part in path.removeprefix(_ROOT).rstrip("/").split("/")]:
        case ["nodes"]:
            return _Asked(NODE_METRICS)
        case ["nodes", name] if name:
            return _Asked(NODE_METRICS, name=name)
        case ["pods"]:
            return _Asked(POD_METRICS)
        case ["namespaces", namespace, "pods"] if namespace:
            return _Asked(POD_METRICS, namespace)
        case ["namespaces", namespace, "pods", name] if namespace and name:
            return _Asked(POD_METRICS, namespace, name)
    raise NotFound("the server could not find the requested resource")


def _node(node: Object, usages: Usages) -> Object | None:
    found = usages.nodes.get(node["metadata"]["name"])
    if found is None:
        return None
    head = _head(NODE_METRICS, node, found.at, found.window)
    return {**head, "usage": _quantities(found.usage)}


def _pod(pod: Object, usages: Usages) -> Object | None:
    metadata = pod["metadata"]
    found = usages.pods.get((metadata["namespace"], metadata["name"]))
    # A pod of the same name that went before is another one.
    if found is None or rfc3339(found.at) < metadata["creationTimestamp"]:
        return None
    containers = [{"name": name, "usage": _quantities(usage)} for name, usage in sorted(found.containers.items())]
    return {**_head(POD_METRICS, pod, found.at, found.window), "containers": containers}


def _head(resource: Resource, about: Object, at: datetime, window: timedelta) -> Object:
    metadata = {
        name: about["metadata"][name] for name in ("name", "namespace", "labels") if about["metadata"].get(name)
    }
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": {**metadata, "creationTimestamp": rfc3339(at)},
        "timestamp": rfc3339(at),
        "window": _duration(window),
    }


def _duration(window: timedelta) -> str:
    """As Go writes it: `1.002s`, `15.01s`, `1m0.5s`."""
    minutes, seconds = divmod(round(window / timedelta(milliseconds=1)) / 1000, 60)
    return f"{int(minutes)}m{seconds:g}s" if minutes else f"{seconds:g}s"


def _quantities(usage: Usage) -> Object:
    memory = f"{usage.memory // 1024}Ki" if usage.memory % 1024 == 0 else str(usage.memory)
    return {"cpu": f"{usage.cpu}n" if usage.cpu else "0", "memory": memory}


def _list(resource: Resource, items: list[Object]) -> Object:
    bare = [{name: value for name, value in each.items() if name not in ("kind", "apiVersion")} for each in items]
    return {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": {}, "items": bare}


def _table(items: list[Object], include: str) -> Object:
    # Not before it is asked for: every kind's columns come with it.
    from apiserver.table import shown

    names = ("Name", "cpu", "memory", "Window")
    formats = ("name", "quantity", "quantity", "duration")
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": [
            {"name": name, "type": "string", "format": form, "description": "", "priority": 0}
            for name, form in zip(names, formats, strict=True)
        ],
        "rows": [{"cells": _cells(each), "object": shown(each, include)} for each in items],
    }


def _cells(each: Object) -> list[str]:
    usages = [each["usage"]] if "usage" in each else [container["usage"] for container in each["containers"]]
    cpu = sum(int(usage["cpu"].removesuffix("n")) for usage in usages)
    memory = sum(_bytes(usage["memory"]) for usage in usages)
    total = _quantities(Usage(cpu, memory))
    return [each["metadata"]["name"], total["cpu"], total["memory"], each["window"]]


def _bytes(text: str) -> int:
    return int(text.removesuffix("Ki")) * (1024 if text.endswith("Ki") else 1)
