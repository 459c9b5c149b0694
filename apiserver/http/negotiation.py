"""In which form the client wants its answer: JSON or YAML, the object itself, a Table or metadata alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from machinery.api.errors import NotAcceptable
from machinery.structs import Struct

Form = Literal["object", "table", "partial", "aggregated"]
_Clause = tuple[str, dict[str, str]]

_JSON, _YAML, _PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
_PRODUCED = (_JSON, _YAML, _PROTOBUF)
_STREAMED = (f"{_JSON};stream=watch", f"{_PROTOBUF};stream=watch")
_ACCEPTED = ", ".join(_PRODUCED)
_WRITTEN = (_JSON, _YAML, "application/*", "*/*")
_AGGREGATED = {"g": "apidiscovery.k8s.io", "v": "v2", "as": "APIGroupDiscoveryList"}
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
"""What Go reads as true."""
_PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


class Media(Struct, frozen=True):
    """`version` is that of a Table, metadata or discovery, "" for the object itself; `is_list`: metadata of a list."""

    form: Form = "object"
    version: str = ""
    is_yaml: bool = False
    is_list: bool = False


JSON = Media()


@lru_cache(maxsize=256)
def negotiate(accept: str, *, of_list: bool = False) -> Media:
    """The best of what the client accepts; raises NotAcceptable where that is nothing we write.

    What no route produces is refused in other words than what they can't make of an object, as upstream has two who
    look at it.
    """
    if not accept:
        return JSON
    clauses = _clauses(accept)
    _check_routed(clauses, (*_PRODUCED, *_STREAMED) if of_list else _PRODUCED)
    for media_type, parameters in _writable(clauses):
        is_yaml = media_type == _YAML
        found = _form(parameters, is_yaml=is_yaml)
        if found is not None:
            is_list = parameters.get("as") == "PartialObjectMetadataList"
            return Media(*found, is_yaml=is_yaml, is_list=is_list)
    raise NotAcceptable(f"only the following media types are accepted: {_ACCEPTED}")


@lru_cache(maxsize=256)
def negotiate_discovery(accept: str, path: str) -> Media:
    """As `negotiate`, for a path of discovery: all in one document where the client knows that, be it its last choice.

    The lists of groups have no route upstream: what these refuse, they refuse in their own words.
    """
    if not accept:
        return JSON
    clauses = _clauses(accept)
    if not re.fullmatch("/apis(/[^/]+)?", path):
        _check_routed(clauses, _PRODUCED)
    if path in ("/api", "/apis"):
        for media_type, parameters in _writable(clauses):
            if parameters.items() >= _AGGREGATED.items():
                return Media("aggregated", _AGGREGATED["v"], is_yaml=media_type == _YAML)
    for media_type, parameters in _writable(clauses):
        if not {"as", "g", "v"} & parameters.keys():
            return Media(is_yaml=media_type == _YAML)
    raise NotAcceptable(f"only the following media types are accepted: {_ACCEPTED}")


def check_stream(media: Media) -> None:
    """Raises NotAcceptable for a watch in a form that has no frames."""
    if media.is_yaml:
        raise NotAcceptable(f"only the following media types are accepted: {', '.join(_STREAMED)}")


def _clauses(accept: str) -> list[_Clause]:
    """Media types and their parameters, what the client likes best first."""
    found = []
    for clause in accept.split(","):
        media_type, *given = (part.strip() for part in clause.split(";"))
        parameters = dict(part.partition("=")[::2] for part in given if part)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        found.append((quality, media_type.lower(), parameters))
    return [(media_type, parameters) for _, media_type, parameters in sorted(found, key=lambda each: -each[0])]


def _check_routed(clauses: list[_Clause], produced: tuple[str, ...]) -> None:
    if not any(media_type in (*_PRODUCED, "*/*") for media_type, _ in clauses):
        shown = ", ".join(produced)
        raise NotAcceptable(f"406: Not Acceptable\n\nAvailable representations: {shown}", tells_details=True)


def _writable(clauses: list[_Clause]) -> Iterator[_Clause]:
    return (clause for clause in clauses if clause[0] in _WRITTEN)


def _form(parameters: dict[str, str], *, is_yaml: bool) -> tuple[Form, str] | None:
    if (stream := parameters.get("stream")) and (stream != "watch" or is_yaml):
        return None
    if parameters.get("sv", "v1") not in ("", "v1"):
        return None
    if not {"as", "g", "v"} & parameters.keys():
        return "object", ""
    wanted, version = parameters.get("as", ""), parameters.get("v", "")
    if parameters.get("g") != "meta.k8s.io" or version not in ("v1", "v1beta1"):
        return None
    if wanted == "Table":
        return "table", version
    if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList"):
        return "partial", version
    return None


def is_pretty(query: str | None, user_agent: str) -> bool:
    """Whether a human reads the answer: the query says so, or the client is one that humans type."""
    if query:
        return query in _TRUE
    return user_agent.startswith(_PRETTY_AGENTS)
