"""What a URL path means: an object, a collection or a sub-resource of some row; or nothing the API knows. Pure."""

from __future__ import annotations

from urllib.parse import unquote

from apiserver.request import Target
from machinery.api.resource import Resource
from machinery.api.resources import RESOURCES
from machinery.structs import Struct

_ROWS = {(row.group, row.version, row.plural): row for row in RESOURCES}
_VERSIONS = {(row.group, row.version) for row in RESOURCES}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class ResourcePath(Struct, frozen=True):
    """A path below a known group and version; `target` is None where no row answers to it.

    The words are those of the path, for authorization comes before the question whether they name anything.
    """

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    is_legacy_watch: bool = False
    rest: str = ""

    @property
    def resource(self) -> Resource | None:
        return _ROWS.get((self.group, self.version, self.plural))

    @property
    def target(self) -> Target | None:
        resource = self.resource
        if resource is None:
            return None
        if bool(self.namespace) and not resource.namespaced:
            return None
        if self.name and resource.namespaced and not self.namespace:
            return None
        if self.subresource and resource.subresource(self.subresource) is None:
            return None
        return Target(resource, self.namespace, self.name, self.subresource)

    def verb(self, method: str, *, is_watch: bool) -> str:
        """The verb that authorization knows, "" for a method that means nothing here."""
        if method in ("GET", "HEAD"):
            if self.is_legacy_watch:
                return "watch"
            return "get" if self.name else "watch" if is_watch else "list"
        if method == "DELETE":
            return "delete" if self.name else "deletecollection"
        return _VERBS.get(method, "")

    def is_allowed(self, verb: str) -> bool:
        """Whether the row has the verb at this path."""
        resource = self.resource
        assert resource is not None
        if self.subresource:
            found = resource.subresource(self.subresource)
            return found is not None and verb in found.verbs
        if resource.namespaced and not self.namespace and verb in ("create", "deletecollection"):
            # Reviews of a namespace's kind and collections of one need that namespace.
            return False
        if self.name and verb == "create":
            return False
        if not self.name and verb in ("update", "patch"):
            return False
        return verb in resource.verbs


def resource_path(path: str, *, is_served: bool = True) -> ResourcePath | None:
    """None for a path outside of the API's groups and versions, or of a whole version (that is discovery).

    Without `is_served`, groups and versions nobody serves have such paths too: they are authorized like the others.
    """
    parts = path.split("/")[1:]
    if "%" in path:
        parts = [unquote(part) for part in parts]
    if parts and parts[-1] == "":
        parts.pop()
    match parts:
        case ["api", version, *rest] if rest and (not is_served or ("", version) in _VERSIONS):
            return _below("", version, rest)
        case ["apis", group, version, *rest] if rest and group and (not is_served or (group, version) in _VERSIONS):
            return _below(group, version, rest)
    return None


def _below(group: str, version: str, parts: list[str]) -> ResourcePath | None:
    is_watch = parts[0] == "watch" and len(parts) > 1
    if is_watch:
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and not (len(parts) == 3 and parts[2] in ("status", "finalize")):
        namespace, parts = parts[1], parts[2:]
    if not all(parts):
        return None
    plural, name, subresource, *rest = [*parts, "", "", ""][:3] + parts[3:]
    return ResourcePath(group, version, plural, namespace, name, subresource, is_watch, "/".join(rest))
