"""exec, attach and port-forward: whether the caller may, which kubelet serves it, and the two connections joined."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from aiohttp import web

from apiserver.http.incoming import Incoming
from apiserver.node_proxy import NodeProxy
from apiserver.pod_logs import log_container
from apiserver.registry.api import Api
from apiserver.registry.call import Call
from machinery.api.errors import BadRequest, StatusError
from machinery.api.resource import Object
from machinery.streams.backend import UnreachableError
from machinery.streams.relay import relay
from machinery.streams.takeover import is_upgrade, wants_websocket

STREAMS = ("exec", "attach", "portforward")
_FLAGS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""Names in the API's query -> in the kubelet's."""


class StreamHandler:
    """Serves the sub-resources that become connections."""

    def __init__(self, api: Api, nodes: NodeProxy) -> None:
        self._api, self._nodes = api, nodes

    async def answer(self, incoming: Incoming, call: Call) -> web.StreamResponse:
        """Returns when the connection has ended; raises the API's errors before it was switched."""
        self._api.authorize(call.attributes())
        headers = incoming.headers
        if wants_websocket(headers):
            # A WebSocket begins with GET, and reading must not be enough to run commands (KEP-4006).
            self._api.authorize(call.on(verb="create").attributes())
        target = call.target
        pod = self._nodes.pod(target.namespace, target.name)
        path = stream_path(pod, target.subresource, incoming)
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:
            raise BadRequest(f"pod {target.name} does not have a host assigned")
        if not is_upgrade(headers):
            raise BadRequest("Upgrade request required")
        try:
            return await relay(incoming.raw, self._nodes.backend(node, path))
        except UnreachableError as error:
            raise DialError(f"error dialing backend: {error}") from None


class DialError(StatusError):
    """What the kubelet's port answers with when there is none, without a reason as upstream's has none."""

    code, reason = 500, ""
    tells_details = False


def stream_path(pod: Object, subresource: str, incoming: Incoming) -> str:
    """The kubelet's path with its query; raises BadRequest where it isn't clear which container is meant."""
    metadata = pod["metadata"]
    where = f"{quote(metadata['namespace'])}/{quote(metadata['name'])}"
    if subresource == "portforward":
        ports = [value for name, value in incoming.pairs if name == "ports"]
        return _joined(f"/portForward/{where}", [("port", ",".join(ports))] if ports else [])
    container = log_container(pod, incoming.query.get("container", ""))
    commands = [("command", value) for name, value in incoming.pairs if name == "command"]
    flags = [(name, "1") for asked, name in _FLAGS.items() if incoming.flag(asked)]
    query = [*(commands if subresource == "exec" else []), *flags]
    return _joined(f"/{subresource}/{where}/{quote(container)}", query)


def _joined(path: str, query: list[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
