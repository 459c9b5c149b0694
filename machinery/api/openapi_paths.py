"""The operations of each resource, from its row: what the OpenAPI documents list under `paths`.

kubectl reads them to learn which query parameters a PATCH of a kind takes and which kind stands at which path.
"""

from __future__ import annotations

from collections.abc import Iterator

from machinery.api.messages import META, message_of
from machinery.api.resource import Resource, Subresource
from machinery.api.schema import definition_name
from machinery.structs import Struct

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
BODY_MEDIA = (JSON, YAML, PROTOBUF)
LIST_MEDIA = (*BODY_MEDIA, f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
PATCH_MEDIA = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)

QUERY = {
    "allowWatchBookmarks": ("boolean", "allowWatchBookmarks asks for watch events of type BOOKMARK."),
    "container": ("string", "container is the container that is meant; may be left out if the pod has one only."),
    "command": ("string", "command is the command line to run, one parameter for each word."),
    "continue": ("string", "continue is the token that the server gave with the previous chunk of the list."),
    "dryRun": ("string", "dryRun says that nothing shall be stored; the only value is All, all stages are run."),
    "fieldManager": ("string", "fieldManager names the actor or entity that makes the changes."),
    "fieldSelector": ("string", "fieldSelector restricts the list by the objects' fields."),
    "fieldValidation": (
        "string",
        "fieldValidation says what to do with unknown and duplicate fields: Ignore, Warn or Strict.",
    ),
    "follow": ("boolean", "follow keeps the log stream open."),
    "force": ("boolean", "force takes over fields of other managers; for apply requests only."),
    "gracePeriodSeconds": ("integer", "gracePeriodSeconds is how long the object may take to end; 0 means at once."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": (
        "boolean",
        "ignoreStoreReadErrorWithClusterBreakingPotential deletes an object even if it cannot be read.",
    ),
    "labelSelector": ("string", "labelSelector restricts the list by the objects' labels."),
    "limit": ("integer", "limit is the largest number of objects in one answer."),
    "limitBytes": ("integer", "limitBytes is how much of the log is sent at most."),
    "orphanDependents": ("boolean", "orphanDependents is deprecated: use propagationPolicy."),
    "path": ("string", "path is the part of the URL to use for the proxied request."),
    "ports": ("integer", "ports are the ports to forward."),
    "pretty": ("string", "pretty says whether the output is indented."),
    "previous": ("boolean", "previous asks for the log of the previous, ended container."),
    "propagationPolicy": ("string", "propagationPolicy is Orphan, Background or Foreground."),
    "resourceVersion": ("string", "resourceVersion constrains what versions the request may be served from."),
    "resourceVersionMatch": ("string", "resourceVersionMatch says how resourceVersion is applied to a list."),
    "sendInitialEvents": ("boolean", "sendInitialEvents lets a watch begin with the objects that exist."),
    "shardSelector": ("string", "shardSelector restricts the list to a shard of the objects."),
    "sinceSeconds": ("integer", "sinceSeconds is how far back the log begins."),
    "stderr": ("boolean", "stderr says whether to stream standard error."),
    "stdin": ("boolean", "stdin says whether to stream standard input."),
    "stdout": ("boolean", "stdout says whether to stream standard output."),
    "tailLines": ("integer", "tailLines is the number of lines from the end of the log."),
    "timeoutSeconds": ("integer", "timeoutSeconds limits how long the call may last."),
    "timestamps": ("boolean", "timestamps puts the time in front of every line."),
    "tty": ("boolean", "tty says whether a terminal is allocated."),
    "watch": ("boolean", "watch asks for changes as a stream instead of a list."),
}  # fmt: skip
"""Query parameters: name -> (type, description)."""

_LIST = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_PATCH = (*_WRITE, "force")
_DELETE = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
    "propagationPolicy",
)  # fmt: skip
_DELETE_ALL = tuple(sorted({*_DELETE, *_LIST} - {"allowWatchBookmarks", "watch"}))
_LOG = ("container", "follow", "limitBytes", "previous", "sinceSeconds", "tailLines", "timestamps")
_CONNECT = {
    "attach": ("container", "stderr", "stdin", "stdout", "tty"),
    "exec": ("command", "container", "stderr", "stdin", "stdout", "tty"),
    "portforward": ("ports",),
    "proxy": ("path",),
}
_DELETE_OPTIONS, _STATUS = definition_name(META + "DeleteOptions"), definition_name(META + "Status")
_PATCH_BODY = definition_name(META + "Patch")
_METHODS = {"create": "post", "get": "get", "update": "put", "patch": "patch", "delete": "delete"}
_ACTIONS = {"create": "post", "update": "put"}


class Operation(Struct, frozen=True):
    """`body` and `answer` name definitions; an empty answer is text."""

    method: str
    action: str
    id: str
    description: str
    query: tuple[str, ...]
    body: str
    answer: str
    kind: tuple[str, str, str]

    @property
    def is_list(self) -> bool:
        return self.action == "list"

    @property
    def codes(self) -> tuple[str, ...]:
        """The status codes of success."""
        return {"post": ("200", "201", "202"), "put": ("200", "201"), "patch": ("200", "201")}.get(
            self.method, ("200", "202") if self.method == "delete" else ("200",)
        )


class Path(Struct, frozen=True):
    """`parameters` are those in the path itself."""

    url: str
    parameters: tuple[str, ...]
    operations: tuple[Operation, ...]


def paths(resource: Resource) -> Iterator[Path]:
    """Every path below which the resource is served."""
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    scope = ("namespace",) if resource.namespaced else ()
    collection = f"{base}/namespaces/{{namespace}}/{resource.plural}" if scope else f"{base}/{resource.plural}"
    described = _Described(resource)
    in_collection = [verb for verb in ("list", "create", "deletecollection") if verb in resource.verbs]
    if in_collection:
        yield Path(collection, scope, tuple(described.operation(verb) for verb in in_collection))
    if scope and "list" in resource.verbs:
        yield Path(f"{base}/{resource.plural}", (), (described.list_everywhere(),))
    on_item = [verb for verb in ("get", "update", "patch", "delete") if verb in resource.verbs]
    if on_item:
        yield Path(f"{collection}/{{name}}", (*scope, "name"), tuple(described.operation(verb) for verb in on_item))
    for sub in resource.subresources:
        operations = tuple(described.sub_operation(sub, verb) for verb in sub.verbs if verb in _METHODS)
        yield Path(f"{collection}/{{name}}/{sub.name}", (*scope, "name"), operations)


class _Described:
    """Makes operations of one resource with upstream's ids."""

    def __init__(self, resource: Resource) -> None:
        self._row = resource
        self._group = "".join(
            part.capitalize() for part in resource.group.removesuffix(".k8s.io").split(".")
        ) or "Core"  # fmt: skip
        self._version = resource.version.capitalize()
        self._scope = "Namespaced" if resource.namespaced else ""
        self._kind = (resource.group, resource.version, resource.kind)

    def operation(self, verb: str) -> Operation:
        row = self._row
        own = _definition(row.group, row.version, row.kind)
        many = _definition(row.group, row.version, row.list_kind)
        match verb:
            case "list":
                return self._made("get", "list", "list", _LIST, "", many)
            case "create":
                return self._made("post", "post", "create", _WRITE, own, own)
            case "deletecollection":
                query, body = _DELETE_ALL, _DELETE_OPTIONS
                return self._made("delete", "deletecollection", "delete", query, body, _STATUS, infix="Collection")
            case "get":
                return self._made("get", "get", "read", (), "", own)
            case "update":
                return self._made("put", "put", "replace", _WRITE, own, own)
            case "patch":
                return self._made("patch", "patch", "patch", _PATCH, _PATCH_BODY, own)
            case _:
                return self._made("delete", "delete", "delete", _DELETE, _DELETE_OPTIONS, _STATUS)

    def list_everywhere(self) -> Operation:
        row = self._row
        name = f"list{self._group}{self._version}{row.kind}ForAllNamespaces"
        answer = _definition(row.group, row.version, row.list_kind)
        said = f"list objects of kind {row.kind}"
        return Operation("get", "list", name, said, ("pretty", *_LIST), "", answer, self._kind)

    def sub_operation(self, sub: Subresource, verb: str) -> Operation:
        row, tail = self._row, sub.name.capitalize()
        kind = (sub.group or row.group, sub.version or row.version, sub.kind or row.kind)
        own = _definition(*kind)
        if sub.name in _CONNECT:
            id_ = f"connect{self._group}{self._version}{_METHODS[verb].capitalize()}{self._scope}{row.kind}{tail}"
            said = f"connect {_METHODS[verb].upper()} requests to {sub.name} of {row.kind}"
            return Operation(_METHODS[verb], "connect", id_, said, _CONNECT[sub.name], "", "", kind)
        if sub.name == "log":
            return self._made("get", "get", "read", _LOG, "", "", tail=tail, kind=self._kind)
        match verb:
            case "get":
                return self._made("get", "get", "read", (), "", own, tail=tail, kind=kind)
            case "patch":
                return self._made("patch", "patch", "patch", _PATCH, _PATCH_BODY, own, tail=tail, kind=kind)
            case "delete":
                body, query = _DELETE_OPTIONS, _DELETE
                return self._made("delete", "delete", "delete", query, body, _STATUS, tail=tail, kind=kind)
            case _:
                word = "create" if verb == "create" else "replace"
                return self._made(_METHODS[verb], _ACTIONS[verb], word, _WRITE, own, own, tail=tail, kind=kind)

    def _made(
        self,
        method: str,
        action: str,
        word: str,
        query: tuple[str, ...],
        body: str,
        answer: str,
        *,
        infix: str = "",
        tail: str = "",
        kind: tuple[str, str, str] | None = None,
    ) -> Operation:
        name = f"{word}{self._group}{self._version}{infix}{self._scope}{self._row.kind}{tail}"
        said = f"{word} {f'{tail.lower()} of ' if tail else ''}the specified {self._row.kind}"
        if action in ("list", "deletecollection"):
            said = f"{word} {'a collection' if infix else 'objects'} of kind {self._row.kind}"
        elif word == "create":
            said = f"create {f'{tail.lower()} of ' if tail else ''}a {self._row.kind}"
        return Operation(method, action, name, said, ("pretty", *query), body, answer, kind or self._kind)


def _definition(group: str, version: str, kind: str) -> str:
    message = message_of(group, version, kind)
    # Custom kinds are defined in their own document, under reversed group names as upstream has it.
    return definition_name(message) if message else ".".join([*reversed(group.split(".")), version, kind])
