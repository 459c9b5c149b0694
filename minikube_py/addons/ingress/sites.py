"""Ingresses as sites: which host and path leads to which endpoints, with which certificate. Pure.

The API's own words rule (API section Ingress networking.k8s.io/v1): a host goes before a wildcard, of paths the
longest, an exact one before a prefix; of two Ingresses that want the same the elder has it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from kubelet.proxy.services import Endpoint, endpoints
from machinery.api.resource import Object
from machinery.api.views import View
from machinery.structs import Struct, field, replace
from minikube_py.addons.ingress.certificates import Certificate, certificate

ANNOTATION = "nginx.ingress.kubernetes.io/"
_REWRITE = re.compile(r"(/([\w./~%@+=&-]|\$\d)*)?")
Named = tuple[str, str]
"""Namespace and name."""


class Backend(Struct, frozen=True):
    """`protocol` is what its endpoints speak: http, https, grpc or grpcs."""

    name: str
    endpoints: tuple[Endpoint, ...]
    protocol: str = "http"


class Location(Struct, frozen=True):
    """A path of a site; a prefix ends without a slash, so that it means whole elements. No backend: it has gone.

    A pattern is a regular expression that the path begins with; `rewrite` is what the backend is asked for instead.
    """

    path: str
    is_exact: bool
    backend: Backend | None
    settings: tuple[tuple[str, str], ...] = ()
    redirects: bool = False
    is_pattern: bool = False
    rewrite: str = ""


class Site(Struct, frozen=True):
    """`host` is empty for every host that no other site has; `certificate` names one, empty for the server's own."""

    host: str
    locations: tuple[Location, ...]
    certificate: str = ""


class Complaint(Struct, frozen=True):
    """What of an Ingress can't be as it asks."""

    ingress: Named
    reason: str
    message: str


class Sites(Struct):
    sites: list[Site] = field(default_factory=list)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)


class World(Struct, frozen=True):
    """What Ingresses speak of, by namespace and name; slices by their Service."""

    services: Mapping[Named, Object]
    slices: Mapping[Named, list[Object]]
    secrets: Mapping[Named, Object]


class Ingress(View):
    @property
    def key(self) -> Named:
        return self.namespace, self.name

    @property
    def spec(self) -> Object:
        found: Object = self.obj.get("spec") or {}
        return found

    @property
    def has_patterns(self) -> bool:
        """Whether its paths are regular expressions, as nginx's own controller takes them."""
        return self.setting("use-regex") == "true" or bool(self.setting("rewrite-target"))

    def setting(self, name: str) -> str:
        return str(self.annotations.get(f"{ANNOTATION}{name}", "")).strip()


def sites(ingresses: Iterable[Object], world: World) -> Sites:
    found = Sites()
    elder = sorted(map(Ingress, ingresses), key=lambda each: (each.created, each.key))
    hosts: dict[str, dict[tuple[str, bool], Location]] = {}
    defaults: dict[str, Location] = {}
    for ingress in elder:
        for host, location in _locations(ingress, world, found.complaints):
            hosts.setdefault(host, {}).setdefault((location.path, location.is_exact), location)
        default = ingress.spec.get("defaultBackend")
        if default is not None:
            said = _location(ingress, "", _backend(ingress, default, world, found.complaints))
            # Where none of its own hosts' paths match, and for hosts that nobody has.
            for host in {*_hosts(ingress), ""}:
                defaults.setdefault(host, said)
    certificates = _certificates(elder, world, found)
    for host in sorted({*hosts, *defaults}):
        locations = hosts.get(host, {})
        if host in defaults:
            locations.setdefault(("", False), defaults[host])
        chosen = certificates.get(host) or certificates.get(f"*.{host.partition('.')[2]}", "")
        ordered = [locations[key] for key in sorted(locations)]
        found.sites.append(Site(host, tuple(_redirected(each, has_tls=bool(chosen)) for each in ordered), chosen))
    return found


def _hosts(ingress: Ingress) -> list[str]:
    return [rule.get("host") or "" for rule in ingress.spec.get("rules") or ()]


def _locations(ingress: Ingress, world: World, complaints: list[Complaint]) -> Iterator[tuple[str, Location]]:
    for rule in ingress.spec.get("rules") or ():
        for said in (rule.get("http") or {}).get("paths") or ():
            is_exact, path = said.get("pathType") == "Exact", said.get("path") or "/"
            wrong = _wrong(ingress, path)
            if wrong:
                complaints.append(Complaint(ingress.key, "InvalidPath", wrong))
                continue
            backend = _backend(ingress, said.get("backend") or {}, world, complaints)
            yield rule.get("host") or "", _location(ingress, path, backend, is_exact=is_exact)


def _wrong(ingress: Ingress, path: str) -> str:
    """Why nginx can't be told of the path; empty where it can."""
    if not path.isprintable():
        return f"path {path!r} has characters of control"
    rewrite = ingress.setting("rewrite-target")
    if not _REWRITE.fullmatch(rewrite):
        return f"rewrite-target {rewrite!r} is no path with groups as $1"
    if ingress.has_patterns:
        try:
            groups = re.compile(path).groups
        except re.error as error:
            return f"path {path!r} is no regular expression: {error}"
        if any(int(number) > groups for number in re.findall(r"\$(\d)", rewrite)):
            return f"rewrite-target {rewrite!r} names a group that path {path!r} does not have"
    return ""


def _location(ingress: Ingress, path: str, backend: Backend | None, *, is_exact: bool = False) -> Location:
    is_pattern = ingress.has_patterns and not is_exact and path not in ("", "/")
    return Location(
        path if is_exact or is_pattern else path.rstrip("/"),
        is_exact,
        backend,
        _settings(ingress),
        redirects=ingress.setting("ssl-redirect") != "false",
        is_pattern=is_pattern,
        rewrite=ingress.setting("rewrite-target"),
    )


def _redirected(location: Location, *, has_tls: bool) -> Location:
    """A site without a certificate of its own sends nobody to HTTPS."""
    return location if has_tls else replace(location, redirects=False)


def _backend(
    ingress: Ingress, said: Object, world: World, complaints: list[Complaint]
) -> Backend | None:  # fmt: skip
    """None where there is no such Service or port, which is complained about."""
    if "service" not in said:
        complaints.append(Complaint(ingress.key, "BackendNotFound", "only Services can be backends, no resources"))
        return None
    name, wanted = said["service"]["name"], said["service"].get("port") or {}
    key = ingress.namespace, name
    service = world.services.get(key)
    if service is None:
        complaints.append(Complaint(ingress.key, "BackendNotFound", f'Service "{name}" not found'))
        return None
    port = _port(service, wanted)
    if port is None:
        which = wanted.get("name") or wanted.get("number")
        complaints.append(Complaint(ingress.key, "BackendNotFound", f'Service "{name}" has no port {which}'))
        return None
    led = endpoints(service, world.slices.get(key, []), port.get("name") or "")
    digest = hashlib.sha256(f"{ingress.namespace}/{name}:{port['port']}".encode()).hexdigest()[:12]
    return Backend(f"b-{digest}", led, _protocol(ingress, port))


def _port(service: Object, wanted: Object) -> Object | None:
    for port in service["spec"].get("ports") or ():
        is_meant = port.get("name") == wanted["name"] if wanted.get("name") else port["port"] == wanted.get("number")
        if is_meant:
            found: Object = port
            return found
    return None


_PROTOCOLS = {"kubernetes.io/h2c": "grpc", "grpc": "grpc", "https": "https"}


def _protocol(ingress: Ingress, port: Object) -> str:
    said = ingress.setting("backend-protocol").lower()
    if said in ("http", "https", "grpc", "grpcs"):
        return said
    return _PROTOCOLS.get((port.get("appProtocol") or "").lower(), "http")


_SETTINGS = {
    "proxy-body-size": "client_max_body_size",
    "proxy-connect-timeout": "proxy_connect_timeout",
    "proxy-read-timeout": "proxy_read_timeout",
    "proxy-send-timeout": "proxy_send_timeout",
}
"""Annotation -> nginx's directive; a number, with a unit where it is a size."""


def _settings(ingress: Ingress) -> tuple[tuple[str, str], ...]:
    said = ((directive, ingress.setting(name).lower()) for name, directive in _SETTINGS.items())
    return tuple((directive, value) for directive, value in said if value.rstrip("kmgs").isdigit())


def _certificates(ingresses: Sequence[Ingress], world: World, found: Sites) -> dict[str, str]:
    """Host -> the name of its certificate; those that are used are put into `found`."""
    chosen: dict[str, str] = {}
    for ingress in ingresses:
        for entry in ingress.spec.get("tls") or ():
            name = entry.get("secretName")
            if not name:
                continue
            secret = world.secrets.get((ingress.namespace, name))
            made = certificate(secret) if secret is not None else "not found"
            if isinstance(made, str):
                message = f'Secret "{name}" for TLS: {made}; the server\'s own certificate is shown instead'
                found.complaints.append(Complaint(ingress.key, "CertificateNotUsed", message))
                continue
            found.certificates[made.name] = made
            for host in entry.get("hosts") or _hosts(ingress):
                chosen.setdefault(host, made.name)
    return chosen
