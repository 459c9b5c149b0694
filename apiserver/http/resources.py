"""Requests about resources: the query and body become a call of the API, its result an answer."""

from __future__ import annotations

from aiohttp import web

from apiserver.http import answer
from apiserver.http.incoming import Incoming, apart
from apiserver.http.listing import Listing
from apiserver.http.negotiation import check_stream, negotiate
from apiserver.http.streaming import STREAMS, StreamHandler
from apiserver.http.watching import stream
from apiserver.node_proxy import NodeProxy
from apiserver.registry.api import Api
from apiserver.registry.call import Call, DeleteOptions
from apiserver.registry.conversion import from_stored
from apiserver.registry.fields import check_body
from apiserver.registry.patch_bodies import read_configuration, read_patch
from apiserver.request import Target, User
from machinery.api.decoding import check_types, decode_body, decode_strict
from machinery.api.errors import BadRequest, Forbidden, StatusError, UnsupportedMediaType
from machinery.api.messages import resource_message
from machinery.api.resource import Object, Resource
from machinery.api.selectors import parse_fields
from machinery.client.client import PatchType
from machinery.structs import replace

_WRONG_NAMES = {".": "may not be '.'", "..": "may not be '..'"}
_DELETE_OPTIONS = Resource("meta.k8s.io", "v1", "DeleteOptions", "deleteoptions")


class ResourceHandler:
    """One method a verb."""

    def __init__(self, api: Api, nodes: NodeProxy) -> None:
        self._api = api
        self._nodes = nodes
        self._streams = StreamHandler(api, nodes)
        self._listing = Listing()

    async def answer(self, incoming: Incoming, user: User, verb: str, target: Target, rest: str) -> web.StreamResponse:
        """Errors that come with warnings carry them, too."""
        call = Call(user, verb, target, field_manager=incoming.field_manager)
        if target.resource.deprecated:
            call.warn(target.resource.warning)
        if target.subresource in STREAMS:
            return await self._streams.answer(incoming, call)
        if target.subresource == "proxy":
            self._api.authorize(call.attributes())
            raise BadRequest("Upgrade request required")
        method = {
            "get": self._get, "list": self._list, "watch": self._watch, "create": self._create,
            "update": self._update, "patch": self._patch, "delete": self._delete,
            "deletecollection": self._delete_collection,
        }[verb]  # fmt: skip
        try:
            if why := _WRONG_NAMES.get(target.name) or ("may not contain '%'" if "%" in target.name else ""):
                self._api.authorize(call.attributes())
                raise BadRequest(f'Name parameter invalid: "{target.name}": {why}')
            return await method(incoming, call)
        except StatusError as error:
            return answer.status_error(incoming, self._forbidden(call) or error, call.warnings)

    def _forbidden(self, call: Call) -> Forbidden | None:
        """Whoever may not ask hears nothing else of what was wrong. (Lists are not asked for by the name alone.)"""
        if not call.target.name:
            return None
        try:
            self._api.authorize(call.attributes())
        except Forbidden as error:
            return error
        return None

    async def _get(self, incoming: Incoming, call: Call) -> web.StreamResponse:
        if call.target.subresource == "log":
            return await self._log(incoming, call)
        media = negotiate(incoming.accept)
        found = await self._api.get(call, _get_version(incoming))
        return answer.one(incoming, 200, found, _answered_row(call), media, warnings=call.warnings)

    async def _log(self, incoming: Incoming, call: Call) -> web.StreamResponse:
        self._api.authorize(call.attributes())
        target = call.target
        response = web.StreamResponse(status=200)
        response.headers["Content-Type"] = "text/plain"
        response.headers["Cache-Control"] = "no-cache, private"
        async with self._nodes.pod_log(target.namespace, target.name, incoming.query) as pieces:
            response.enable_chunked_encoding()
            await response.prepare(incoming.raw)
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
        return response

    async def _list(self, incoming: Incoming, call: Call) -> web.StreamResponse:
        media, query = negotiate(incoming.accept, of_list=True), incoming.query
        page = await self._api.list(
            call, query.get("labelSelector", ""), query.get("fieldSelector", ""), incoming.list_options()
        )
        return await self._listing.answer(incoming, page, call.resource, media, warnings=call.warnings)

    async def _watch(self, incoming: Incoming, call: Call) -> web.StreamResponse:
        media, query = negotiate(incoming.accept, of_list=True), incoming.query
        check_stream(media)
        fields = query.get("fieldSelector", "")
        if name := call.target.name:
            # /watch/ before a path watches one object.
            fields = _one_named(name, fields)
            call = replace(call, target=replace(call.target, name=""))
        watching = self._api.watch(call, query.get("labelSelector", ""), fields, incoming.list_options())
        return await stream(incoming, watching, call.resource, media, call.warnings)

    async def _create(self, incoming: Incoming, call: Call) -> web.StreamResponse:
        media = negotiate(incoming.accept)
        call = _with_options(incoming, call, "CreateOptions")
        call, obj = await self._decoded(incoming, call)
        created = await self._api.create(call, obj)
        return answer.one(incoming, 201, created, _answered_row(call), media, warnings=call.warnings)

    async def _update(self, incoming: Incoming, call: Call) -> web.StreamResponse:
        media = negotiate(incoming.accept)
        call = _with_options(incoming, call, "UpdateOptions")
        call, obj = await self._decoded(incoming, call)
        written, is_created = await self._api.update(call, obj)
        status = 201 if is_created else 200
        return answer.one(incoming, status, written, _answered_row(call), media, warnings=call.warnings)

    async def _decoded(self, incoming: Incoming, call: Call) -> tuple[Call, Object]:
        """The body as an object of the row's or the sub-resource's kind, its fields checked."""
        body = await incoming.body()
        # Forbidden comes before what is wrong with the body.
        self._api.authorize(call.attributes())
        row = _body_row(call)
        if body.strip() == b"null":
            # Go decodes null into an object without anything in it.
            body = b"{}"
        kind = (row.group, row.version, row.kind)
        found = await apart(body, decode_strict, body, incoming.content_type, kind)
        if found.obj.get("metadata") is None:
            found.obj["metadata"] = {}
        check_body(found, row, call)
        return replace(call, is_canonical=found.message == resource_message(call.resource)), found.obj

    async def _patch(self, incoming: Incoming, call: Call) -> web.StreamResponse:
        content_type = incoming.content_type.partition(";")[0].strip()
        try:
            patch_type = PatchType(content_type)
        except ValueError:
            raise UnsupportedMediaType("415: Unsupported Media Type", tells_details=True) from None
        media = negotiate(incoming.accept)
        call = _with_options(incoming, call, "PatchOptions", is_apply=patch_type == PatchType.APPLY)
        body = await incoming.body()
        if patch_type == PatchType.APPLY:
            read = await apart(body, read_configuration, body)
            call = replace(call, field_manager=incoming.query.get("fieldManager", ""))
        else:
            validates = call.field_validation != "Ignore"
            read = await apart(body, read_patch, body, patch_type, validates=validates)
        call = replace(call, complaints=read.complaints)
        written, is_created = await self._api.patch(call, patch_type, read.patch, force=incoming.flag("force"))
        status = 201 if is_created else 200
        return answer.one(incoming, status, written, _answered_row(call), media, warnings=call.warnings)

    async def _delete(self, incoming: Incoming, call: Call) -> web.StreamResponse:
        media = negotiate(incoming.accept)
        options = await self._delete_options(incoming, call)
        deleted = await self._api.delete(call, options)
        if deleted.is_shown:
            shown = from_stored(deleted.object, call.resource) if deleted.is_gone else deleted.object
            status = 202 if options.orphan_dependents is False and not deleted.is_gone else 200
            return answer.one(incoming, status, shown, call.resource, media, warnings=call.warnings)
        body = _success(call.resource, deleted.object)
        return answer.one(incoming, 200, body, call.resource, warnings=call.warnings)

    async def _delete_collection(self, incoming: Incoming, call: Call) -> web.StreamResponse:
        media, query = negotiate(incoming.accept), incoming.query
        options = await self._delete_options(incoming, call)
        deleted = await self._api.delete_collection(
            call, options, query.get("labelSelector", ""), query.get("fieldSelector", ""), incoming.list_options()
        )
        return await self._listing.answer(incoming, deleted, call.resource, media, warnings=call.warnings)

    async def _delete_options(self, incoming: Incoming, call: Call) -> DeleteOptions:
        body = await incoming.body()
        self._api.authorize(call.attributes())
        given: Object = {}
        if body:
            # kubectl's typed clients name the kind's own group in the options.
            kind = ("meta.k8s.io", "v1", "DeleteOptions")
            given = await apart(body, decode_body, body, incoming.content_type, kind)
            check_types(given, _DELETE_OPTIONS)
        else:
            given = _query_options(incoming)
        return DeleteOptions.of(given)


def _one_named(name: str, fields: str) -> str:
    """The field selector that chooses the object of a path alone; raises BadRequest where it chooses others."""
    if not fields:
        return f"metadata.name={name}"
    if parse_fields(fields).exact("metadata.name") != name:
        raise BadRequest("fieldSelector metadata.name doesn't match requested name")
    return fields


def _get_version(incoming: Incoming) -> str:
    """The revision that the query wants to be reached; raises BadRequest for an option that is no more."""
    if incoming.flag("export"):
        raise BadRequest("the export parameter, deprecated since v1.14, is no longer supported")
    return incoming.query.get("resourceVersion", "")


def _query_options(incoming: Incoming) -> Object:
    given: Object = {}
    if (grace := incoming.number("gracePeriodSeconds")) is not None:
        given["gracePeriodSeconds"] = grace
    if "propagationPolicy" in incoming.query:
        given["propagationPolicy"] = incoming.query["propagationPolicy"]
    if "orphanDependents" in incoming.query:
        given["orphanDependents"] = incoming.flag("orphanDependents")
    given["preconditions"] = {
        name: incoming.query[name] for name in ("uid", "resourceVersion") if incoming.query.get(name)
    }
    dry_run = [value for name, value in incoming.pairs if name == "dryRun"]
    return {**given, "dryRun": dry_run} if dry_run else given


def _with_options(incoming: Incoming, call: Call, kind: str, *, is_apply: bool | None = None) -> Call:
    dry_run, validation = incoming.write_options(kind, is_apply=is_apply)
    return replace(call, dry_run=dry_run, field_validation=validation)


def _body_row(call: Call) -> Resource:
    """A row with the kind of the request's body: the parent's or the sub-resource's own."""
    resource = call.resource
    sub = resource.subresource(call.target.subresource) if call.target.subresource else None
    if sub is None or not sub.kind or sub.kind == resource.kind:
        return resource
    return Resource(sub.group or resource.group, sub.version or resource.version, sub.kind, sub.kind.lower())


_answered_row = _body_row


def _success(resource: Resource, obj: Object) -> Object:
    metadata = obj["metadata"]
    details: Object = {"name": metadata["name"]}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    if metadata.get("uid"):
        details["uid"] = metadata["uid"]
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
