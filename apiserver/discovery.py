"""What the server serves, as clients ask for it: legacy lists a group and version, or all of it in one document.

Derived from the rows alone, encoded once. `Discovery` is a value: when custom resources come or go, make another.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import orjson

from machinery.api.resource import Object, Resource, Subresource
from machinery.api.resources import RESOURCES
from machinery.structs import Struct

_AGGREGATED = "v2"
"""The one version of the document that upstream still serves."""


class Response(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Discovery:
    """`server_address` is host:port as `/api` tells it; `freshness` entries mark groups whose server is away."""

    resources: tuple[Resource, ...] = RESOURCES
    server_address: str = ""
    _encoded: dict[str, Response] = field(default_factory=dict, compare=False, repr=False)

    def respond(self, path: str, if_none_match: str = "", *, is_aggregated: bool = False) -> Response | None:
        """The answer to a GET of `path` as JSON, None if it isn't a discovery path."""
        path = path.rstrip("/")
        is_aggregated = is_aggregated and path in ("/api", "/apis")
        key = f"{path} {is_aggregated}"
        found = self._encoded.get(key)
        if found is None:
            found = self._aggregated(path) if is_aggregated else self._legacy(path)
            if found is None:
                return None
            self._encoded[key] = found
        etag = found.headers.get("ETag")
        if etag and if_none_match and etag in (each.strip() for each in if_none_match.split(",")):
            return Response(304, {name: value for name, value in found.headers.items() if name != "Content-Type"})
        return found

    @cached_property
    def groups(self) -> dict[str, dict[str, list[Resource]]]:
        """group -> version -> rows, in the order in which clients shall prefer them."""
        found: dict[str, dict[str, list[Resource]]] = {}
        for row in self.resources:
            found.setdefault(row.group, {}).setdefault(row.version, []).append(row)
        return found

    def _legacy(self, path: str) -> Response | None:
        document = self._document(path.split("/")[1:])
        return None if document is None else Response(200, {"Content-Type": "application/json"}, _line(document))

    def _document(self, parts: list[str]) -> Object | None:
        match parts:
            case ["api"]:
                address = {"clientCIDR": "0.0.0.0/0", "serverAddress": self.server_address}
                return {
                    "kind": "APIVersions",
                    "versions": list(self.groups.get("", {})),
                    "serverAddressByClientCIDRs": [address],
                }
            case ["apis"]:
                named = [_group(name, versions) for name, versions in self.groups.items() if name]
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": named}
            case ["apis", group] if group in self.groups:
                return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, self.groups[group])}
            case ["api", version] if version in self.groups.get("", {}):
                # Upstream leaves apiVersion out of the oldest group's list.
                return {"kind": "APIResourceList", **_resource_list(self.groups[""][version])}
            case ["apis", group, version] if group and version in self.groups.get(group, {}):
                return {"kind": "APIResourceList", "apiVersion": "v1", **_resource_list(self.groups[group][version])}
        return None

    def _aggregated(self, path: str) -> Response:
        items = [
            _group_discovery(name, versions)
            for name, versions in self.groups.items()
            if (name == "") == (path == "/api")
        ]
        document = {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{_AGGREGATED}",
            "metadata": {},
            "items": items,
        }
        body = orjson.dumps(document)
        headers = {
            "Content-Type": f"application/json;g=apidiscovery.k8s.io;v={_AGGREGATED};as=APIGroupDiscoveryList",
            "ETag": f'"{hashlib.sha512(body).hexdigest().upper()}"',
            "Vary": "Accept",
            "Cache-Control": "public",
        }
        return Response(200, headers, body + b"\n")


@cache
def built_in(server_address: str = "") -> Discovery:
    """Discovery of the built-in resources."""
    return Discovery(RESOURCES, server_address)


def respond(path: str, if_none_match: str = "", *, is_aggregated: bool = False) -> Response | None:
    """`Discovery.respond` for the built-in resources."""
    return built_in().respond(path, if_none_match, is_aggregated=is_aggregated)


def _line(document: Object) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def _group(name: str, versions: Iterable[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resource_list(rows: Sequence[Resource]) -> Object:
    entries = [entry for row in rows for entry in _entries(row)]
    return {"groupVersion": rows[0].api_version, "resources": sorted(entries, key=lambda entry: str(entry["name"]))}


def _entries(row: Resource) -> Iterable[Object]:
    entry: Object = {
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    if row.is_stored:
        entry["storageVersionHash"] = _storage_hash(row)
    yield entry
    for sub in row.subresources:
        entry = {
            "name": f"{row.plural}/{sub.name}",
            "singularName": "",
            "namespaced": row.namespaced,
            "kind": sub.kind or row.kind,
            "verbs": list(sub.verbs),
        }
        if sub.version:
            entry |= {"group": sub.group, "version": sub.version}
        yield entry


def _storage_hash(row: Resource) -> str:
    group, version = row.stored_as or (row.group, row.version)
    digest = hashlib.sha256(f"{group}/{version}/{row.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _group_discovery(name: str, versions: Mapping[str, Sequence[Resource]]) -> Object:
    return {
        "metadata": {"name": name} if name else {},
        "versions": [
            {
                "version": version,
                "resources": [_resource_discovery(row) for row in sorted(rows, key=lambda row: row.plural)],
                "freshness": "Current",
            }
            for version, rows in versions.items()
        ],
    }


def _resource_discovery(row: Resource) -> Object:
    entry: Object = {
        "resource": row.plural,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    if row.subresources:
        entry["subresources"] = [_subresource_discovery(row, sub) for sub in row.subresources]
    return entry


def _subresource_discovery(row: Resource, sub: Subresource) -> Object:
    group, version = (sub.group, sub.version) if sub.version else (row.group, row.version)
    kind = {"group": group, "version": version, "kind": sub.kind or row.kind}
    return {"subresource": sub.name, "responseKind": kind, "verbs": list(sub.verbs)}
