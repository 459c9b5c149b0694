"""From a request to its answer: who asks, as whom, what of; then the API does it. One boundary around it all."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import ClientConnectionResetError, web

from apiserver.authn.authenticator import Authenticator
from apiserver.authn.impersonation import impersonated
from apiserver.authz.rbac import Rbac
from apiserver.http import answer, compression
from apiserver.http.incoming import Incoming
from apiserver.http.resources import ResourceHandler
from apiserver.http.route import ResourcePath, resource_path
from apiserver.registry.api import Api
from apiserver.request import Attributes, User, scope
from apiserver.storage.store import CompactedError, StoreUnavailableError
from machinery.api.errors import InternalError, NotFound, ServiceUnavailable, StatusError, method_not_allowed
from machinery.contain import contain

Plain = Callable[[Incoming, User], Awaitable[web.StreamResponse | None]]
"""A handler of paths that are no resources; None where the path is not its own."""

_MALFORMED = re.compile("%(?![0-9A-Fa-f]{2})")
_NO_KIND = re.compile("/api/[^/]+/(watch|proxy)/?|/apis/[^/]+/[^/]+/(watch|proxy)/?")
_ALWAYS_ALLOWED = ("/healthz", "/livez", "/readyz", "/version")
_PANIC = (
    'an error on the server ("This request caused apiserver to panic. Look in the logs for details.") '
    "has prevented the request from succeeding"
)


class Handler:
    """What aiohttp's server calls for each request."""

    def __init__(
        self,
        api: Api,
        authenticator: Authenticator,
        rbac: Rbac,
        resources: ResourceHandler,
        plain: Plain,
        aggregated: Plain | None = None,
    ) -> None:
        self._api = api
        self._authenticator = authenticator
        self._rbac = rbac
        self._resources = resources
        self._plain = plain
        self._aggregated = aggregated

    async def __call__(self, raw: web.BaseRequest) -> web.StreamResponse:
        incoming = Incoming(raw)
        response: web.StreamResponse | None = None
        with contain("request", about=f"{incoming.method} {incoming.path}"):
            response = await self._answered(incoming)
        if response is None:
            error = InternalError(_PANIC)
            response = answer.status_error(incoming, error)
        return await _packed(incoming, response)

    async def _answered(self, incoming: Incoming) -> web.StreamResponse:
        """The response, errors as their Status."""
        try:
            return await self._answer(incoming)
        except StatusError as error:
            return answer.status_error(incoming, error)
        except (StoreUnavailableError, CompactedError) as error:
            return answer.status_error(incoming, ServiceUnavailable(str(error)))
        except (ConnectionResetError, ClientConnectionResetError):
            # Nobody is there to read it.
            return web.Response(status=499)

    async def _answer(self, incoming: Incoming) -> web.StreamResponse:
        if "%" in incoming.path and _MALFORMED.search(incoming.path):
            # Go parses the path before anybody is asked who they are.
            return answer.text(incoming, 400, "400 Bad Request")
        if incoming.path.startswith("/api") and _NO_KIND.fullmatch(incoming.path):
            why = f"unable to determine kind and namespace from url, {incoming.raw.raw_path}"
            said = f'Internal Server Error: "{incoming.raw.raw_path}": failed to create RequestInfo: {why}\n'
            return answer.text(incoming, 500, said)
        user = await self._user(incoming)
        path = resource_path(incoming.path)
        if path is None:
            found = await self._aggregated(incoming, user) if self._aggregated is not None else None
            return found if found is not None else await self._non_resource(incoming, user)
        is_watch = incoming.flag("watch")
        verb = path.verb(incoming.method, is_watch=is_watch)
        target = path.target
        if target is None:
            self._api.authorize(_attributes(user, verb, path))
            raise NotFound("the server could not find the requested resource")
        if incoming.method == "HEAD":
            # Upstream has routes for GET alone, though it authorizes HEAD as that.
            self._api.authorize(_attributes(user, verb, path))
            raise method_not_allowed()
        allowed_verb = "list" if verb == "watch" and not path.is_allowed("watch") else verb
        if not verb or not path.is_allowed(allowed_verb):
            self._api.authorize(_attributes(user, verb, path))
            raise method_not_allowed()
        return await self._resources.answer(incoming, user, verb, target, path.rest)

    async def _user(self, incoming: Incoming) -> User:
        user = await self._authenticator.authenticate(incoming.headers, incoming.peer_certificate)
        return impersonated(incoming.raw.headers.items(), user, self._rbac, partial(_asked, incoming))

    async def _non_resource(self, incoming: Incoming, user: User) -> web.StreamResponse:
        if not incoming.plain_path.startswith(_ALWAYS_ALLOWED):
            self._api.authorize(_asked(incoming, user))
        response = await self._plain(incoming, user)
        return response if response is not None else answer.text(incoming, 404, "404 page not found\n")


async def _packed(incoming: Incoming, response: web.StreamResponse) -> web.StreamResponse:
    """The response gzipped where it is large and the client takes that."""
    if incoming.method != "GET" or not isinstance(response, web.Response):
        return response
    body = response.body
    if not isinstance(body, bytes) or len(body) < compression.SMALLEST:
        return response
    if "Content-Encoding" not in response.headers and compression.accepts_gzip(
        incoming.headers.get("Accept-Encoding", "")
    ):
        response.body = await compression.gzipped(body)
        response.headers.update(compression.HEADERS)
    return response


def _asked(incoming: Incoming, user: User) -> Attributes:
    """What a request is authorized for, whether or not anything is served there."""
    if path := resource_path(incoming.path, is_served=False):
        return _attributes(user, path.verb(incoming.method, is_watch=incoming.flag("watch")), path)
    return Attributes(user, incoming.method.lower(), path=incoming.plain_path)


def _attributes(user: User, verb: str, path: ResourcePath) -> Attributes:
    namespace = path.namespace or scope(path.group, path.plural, path.name)
    return Attributes(user, verb, path.group, path.version, path.plural, path.subresource, namespace, path.name)
