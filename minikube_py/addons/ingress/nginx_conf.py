"""nginx's configuration as text, from the sites. Pure.

Every name in it was checked by the API server or is quoted here; what of an Ingress could be read as a directive is not
put in. Paths of a prefix mean whole elements: `/foo` is `/foo` and all below `/foo/`, not `/foobar`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from machinery.ip_families import host_port
from machinery.structs import Struct
from minikube_py.addons.ingress.sites import Backend, Location, Site, Sites

_PASSES = {"http": "proxy_pass http", "https": "proxy_pass https", "grpc": "grpc_pass grpc", "grpcs": "grpc_pass grpcs"}
_HTTPS = 443


class Server(Struct, frozen=True):
    """`folder` is where certificates and temporary files are, `certificate` the server's own, with its key."""

    folder: Path
    error_log: Path
    certificate: Path
    key: Path
    http_port: int
    https_port: int
    user: str = "www-data"
    has_ipv6: bool = False


def nginx_conf(found: Sites, server: Server) -> str:
    backends = {
        location.backend.name: location.backend
        for site in found.sites
        for location in site.locations
        if location.backend is not None and location.backend.endpoints
    }
    sites = found.sites if any(not site.host for site in found.sites) else [Site("", ()), *found.sites]
    lines = [
        *_head(server),
        *(line for name in sorted(backends) for line in _upstream(backends[name])),
        *(line for site in sites for line in _server(site, server)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _head(server: Server) -> list[str]:
    folder = server.folder
    temporary = [f"  {kind}_temp_path {folder}/tmp-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi",
                                                                         "scgi")]  # fmt: skip
    return [
        f"user {server.user};",
        "worker_processes 2;",
        # Old workers end what they began, a WebSocket for a while too.
        "worker_shutdown_timeout 240s;",
        f"pid {folder}/nginx.pid;",
        f"error_log {server.error_log} warn;",
        "events { worker_connections 4096; multi_accept on; }",
        "http {",
        *temporary,
        f"  ssl_certificate {server.certificate};",
        f"  ssl_certificate_key {server.key};",
        "  ssl_protocols TLSv1.2 TLSv1.3;",
        "  ssl_session_cache shared:SSL:2m;",
        "  access_log off;",
        "  server_tokens off;",
        "  default_type text/plain;",
        "  keepalive_timeout 75s;",
        "  client_max_body_size 1m;",
        "  server_names_hash_bucket_size 128;",
        "  proxy_http_version 1.1;",
        "  proxy_connect_timeout 5s;",
        "  proxy_buffering off;",
        "  proxy_next_upstream error timeout;",
        "  proxy_next_upstream_tries 3;",
        "  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }",
        "  map $http_x_request_id $req_id { default $http_x_request_id; '' $request_id; }",
    ]


def _upstream(backend: Backend) -> Iterator[str]:
    yield f"  upstream {backend.name} {{"
    # The API says who is alive; nginx must not give up one that failed once.
    yield from (f"    server {host_port(each.ip, each.port)} max_fails=0;" for each in backend.endpoints)
    yield "    keepalive 32;"
    yield "  }"


def _server(site: Site, server: Server) -> Iterator[str]:
    mark = "" if site.host else " default_server"
    yield "  server {"
    for address in ("", "[::]:") if server.has_ipv6 else ("",):
        yield f"    listen {address}{server.http_port}{mark};"
        yield f"    listen {address}{server.https_port} ssl http2{mark};"
    yield f"    server_name {_server_name(site.host)};"
    if site.certificate:
        pem = server.folder / "tls" / f"{site.certificate}.pem"
        yield f"    ssl_certificate {pem};"
        yield f"    ssl_certificate_key {pem};"
    for location in sorted(site.locations, key=lambda each: -len(each.path)):
        for head in _heads(location, site.locations):
            yield f"    location {head} {{"
            yield from (f"      {line}" for line in _passing(location, server))
            yield "    }"
    if not any(location.path == "" for location in site.locations):
        yield "    location / { return 404 'default backend - 404\\n'; }"
    yield "  }"


def _server_name(host: str) -> str:
    """nginx's own wildcard would mean several labels, Kubernetes' means one."""
    if not host:
        return "_"
    if host.startswith("*."):
        return '"~^[^.]+' + host[1:].replace(".", "\\.") + '$"'
    return host


def _heads(location: Location, locations: Iterable[Location]) -> Iterator[str]:
    if location.is_exact and location.path.endswith("/") and location.path != "/":
        # By `=` nginx would send who asks without the slash there.
        yield f"~ {_quoted(_pattern(location))}"
        return
    if location.is_exact:
        yield f"= {_quoted(location.path)}"
        return
    if location.path and any(other.is_pattern for other in locations):
        # Patterns go before prefixes in nginx, so where there are some all are, the longest first.
        yield f"{'~*' if location.is_pattern else '~'} {_quoted(_pattern(location))}"
        return
    has_exact = any(other.is_exact and other.path == location.path for other in locations)
    if location.path and not has_exact:
        yield f"= {_quoted(location.path)}"
    yield _quoted(f"{location.path}/")


def _pattern(location: Location) -> str:
    if location.is_pattern:
        return f"^{location.path}"
    return f"^{re.escape(location.path)}" + ("\\z" if location.is_exact else "(?:/|\\z)")


def _passing(location: Location, server: Server) -> Iterator[str]:
    if location.redirects:
        port = "" if server.https_port == _HTTPS else f":{server.https_port}"
        yield f'if ($scheme = http) {{ return 308 "https://$host{port}$request_uri"; }}'
    backend = location.backend
    if backend is None or not backend.endpoints:
        yield "return 503 'no endpoint of the Service is ready\\n';"
        return
    is_grpc = backend.protocol.startswith("grpc")
    header = "grpc_set_header" if is_grpc else "proxy_set_header"
    for directive, value in location.settings:
        yield f"{directive.replace('proxy_', 'grpc_') if is_grpc else directive} {value};"
    if location.rewrite:
        yield f"rewrite {_quoted(f'(?i){_pattern(location)}')} {_quoted(location.rewrite)} break;"
    yield f"{header} Host $http_host;" if not is_grpc else f"{header} Host $host;"
    yield f"{header} X-Request-ID $req_id;"
    yield f"{header} X-Real-IP $remote_addr;"
    yield f"{header} X-Forwarded-For $remote_addr;"
    yield f"{header} X-Forwarded-Host $http_host;"
    yield f"{header} X-Forwarded-Port $server_port;"
    yield f"{header} X-Forwarded-Proto $scheme;"
    yield f"{header} X-Forwarded-Scheme $scheme;"
    if not is_grpc:
        yield f"{header} Upgrade $http_upgrade;"
        yield f"{header} Connection $connection_upgrade;"
    yield f"{_PASSES[backend.protocol]}://{backend.name};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
