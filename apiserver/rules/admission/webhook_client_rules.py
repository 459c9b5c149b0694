"""What upstream refuses of a webhook's address: a URL, or a Service in the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from apiserver.rules.field_errors import invalid_value, required
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

_FORM = "; desired format: https://host[/path]"


def client_errors(client: Object, path: str) -> Iterator[Cause]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _url_errors(url, f"{path}.url")
    elif service is not None:
        yield from _service_errors(service, f"{path}.service")


def _url_errors(text: str, path: str) -> Iterator[Cause]:
    try:
        url = urlsplit(text)
    except ValueError as error:
        yield required(path, f"url must be a valid URL: {error}{_FORM}")
        return
    user, _, host = url.netloc.rpartition("@")
    if url.scheme != "https":
        yield invalid_value(path, url.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    if not host:
        yield invalid_value(path, "", f"host must be provided{_FORM}")
    if "@" in url.netloc:
        yield invalid_value(path, user, "user information is not permitted in the URL")
    if url.fragment:
        yield invalid_value(path, url.fragment, "fragments are not permitted in the URL")
    if url.query:
        yield invalid_value(path, url.query, "query parameters are not permitted in the URL")


def _service_errors(service: Object, path: str) -> Iterator[Cause]:
    for field in ("name", "namespace"):
        if not service.get(field):
            yield required(f"{path}.{field}", f"service {field} is required")
    port, place = service.get("port") or 0, service.get("path") or "/"
    if complaints := names.port_number(port):
        yield invalid_value(f"{path}.port", port, f"port is not valid: {', '.join(complaints)}")
    if place != "/":
        yield from (invalid_value(f"{path}.path", place, problem) for problem in _path_problems(place))


def _path_problems(path: str) -> Iterator[str]:
    if path == "//":
        yield "segment[0] may not be empty"
        return
    if not path.startswith("/"):
        yield "must start with a '/'"
    for index, step in enumerate(path[1:].removesuffix("/").split("/")):
        if not step:
            yield f"segment[{index}] may not be empty"
            continue
        for complaint in names.dns_subdomain(step):
            yield f"segment[{index}]: {complaint}"
