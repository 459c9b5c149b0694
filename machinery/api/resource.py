"""What a row of the API is. A `Resource` is a value: equal rows are the same resource."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from machinery.structs import Struct

Object = dict[str, Any]
"""A Kubernetes object as JSON. Never changed once stored or cached: copy what you change."""

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

# kube-apiserver's layout; every other built-in kind is stored under its plural alone.
_STORAGE_PREFIXES = {
    ("", "nodes"): "minions",
    ("", "replicationcontrollers"): "controllers",
    ("", "services"): "services/specs",
    ("", "endpoints"): "services/endpoints",
    ("networking.k8s.io", "ingresses"): "ingress",
    ("events.k8s.io", "events"): "events",
    ("apiextensions.k8s.io", "customresourcedefinitions"): "apiextensions.k8s.io/customresourcedefinitions",
    ("apiregistration.k8s.io", "apiservices"): "apiregistration.k8s.io/apiservices",
}


class Subresource(Struct, frozen=True):
    """`group` and `version` are those of the body's kind where they differ from the parent's."""

    name: str
    kind: str = ""
    verbs: tuple[str, ...] = ("get", "patch", "update")
    group: str = ""
    version: str = ""


STATUS = Subresource("status")
SCALE = Subresource("scale", "Scale", group="autoscaling", version="v1")


class Resource(Struct, frozen=True, eq=False, dict=True):
    """`stored_as` names the group and version in which the store holds the kind where it is another."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    stored_as: tuple[str, str] | None = None
    deprecated: str = ""
    """Since when, and what takes its place: `v1.33+; use discovery.k8s.io/v1 EndpointSlice`."""

    @cached_property
    def _hash(self) -> int:
        return hash((self.group, self.version, self.plural))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        # Asked several times a request, nearly always of rows that differ in their first word or are the same one.
        return self is other or (
            isinstance(other, Resource)
            and self.plural == other.plural
            and (self.group, self.version, self.kind) == (other.group, other.version, other.kind)
        )

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def qualified(self) -> str:
        """`deployments.apps`, `pods`: how messages name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def warning(self) -> str:
        """What whoever asks for a deprecated kind is told; empty for the others."""
        return f"{self.api_version} {self.kind} is deprecated in {self.deprecated}" if self.deprecated else ""

    @property
    def is_stored(self) -> bool:
        return "get" in self.verbs and "create" in self.verbs

    @cached_property
    def storage_prefix(self) -> str:
        """The key's part after `/registry/`, without slashes around it."""
        return _STORAGE_PREFIXES.get((self.group, self.plural), self.plural)

    def subresource(self, name: str) -> Subresource | None:
        return next((sub for sub in self.subresources if sub.name == name), None)

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, the object or its sub-resource."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(parts)
