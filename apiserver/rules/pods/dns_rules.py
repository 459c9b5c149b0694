"""What upstream refuses in how a pod names itself and finds others: DNS, host names and aliases (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, forbidden, invalid_value, required, too_long
from apiserver.rules.network.addresses import ip_errors
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object

# What resolvers of the C library can take.
_MOST_SERVERS, _MOST_SEARCHES, _MOST_SEARCH_CHARS = 3, 32, 2048
_LONGEST_HOST_NAME = 64


def dns_config_errors(config: Object | None, policy: str | None, path: str) -> Iterator[Cause]:
    if policy == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{path}.nameservers", detail)
            return
    if not config:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _MOST_SERVERS:
        yield invalid_value(f"{path}.nameservers", servers, f"must not have more than {_MOST_SERVERS} nameservers")
    for index, server in enumerate(servers):
        yield from ip_errors(server, f"{path}.nameservers[{index}]")
    if searches:
        yield from _search_errors(searches, f"{path}.searches")
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield required(f"{path}.options[{index}]", "must not be empty")


def _search_errors(searches: list[str], path: str) -> Iterator[Cause]:
    if len(searches) > _MOST_SEARCHES:
        yield invalid_value(path, searches, f"must not have more than {_MOST_SEARCHES} search paths")
    if len(" ".join(searches)) > _MOST_SEARCH_CHARS:
        detail = f"must not have more than {_MOST_SEARCH_CHARS} characters (including spaces) in the search list"
        yield invalid_value(path, searches, detail)
    for index, search in enumerate(searches):
        if search != ".":
            domain = search.removesuffix(".")
            yield from all_of(f"{path}[{index}]", domain, names.dns_search(domain))


def host_name_errors(name: str, path: str, spec: Object) -> Iterator[Cause]:
    """Of a name that replaces the pod's own altogether."""
    for field in ("setHostnameAsFQDN", "hostNetwork"):
        if spec.get(field):
            yield forbidden(path, f"may not be specified when {field} is true")
    if len(name) > _LONGEST_HOST_NAME:
        yield too_long(path, _LONGEST_HOST_NAME)
    yield from all_of(path, name, names.dns_subdomain(name))


def host_alias_errors(aliases: list[Object], path: str) -> Iterator[Cause]:
    for index, alias in enumerate(aliases):
        yield from ip_errors(alias.get("ip") or "", f"{path}[{index}].ip")
        for at, name in enumerate(alias.get("hostnames") or ()):
            yield from all_of(f"{path}[{index}].hostnames[{at}]", name, names.dns_subdomain(name))
