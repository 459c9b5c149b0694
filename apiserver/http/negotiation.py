"""In which form the client wants its answer: JSON or YAML, the object itself, a Table or metadata alone. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from machinery.api.errors import NotAcceptable
from machinery.structs import Struct

Form = Literal["object", "table", "partial"]

_JSON, _YAML, _PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
_PRODUCED = (_JSON, _YAML, _PROTOBUF)
_STREAMED = (f"{_JSON};stream=watch", f"{_PROTOBUF};stream=watch")
_ACCEPTED = ", ".join(_PRODUCED)
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
"""What Go reads as true."""
_PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


class Media(Struct, frozen=True):
    """`version` is that of the Table or metadata, "" for the object itself; `is_list`: metadata of a list."""

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
    if not any(media_type in (*_PRODUCED, "*/*") for _, media_type, _ in clauses):
        produced = ", ".join((*_PRODUCED, *_STREAMED) if of_list else _PRODUCED)
        raise NotAcceptable(f"406: Not Acceptable\n\nAvailable representations: {produced}", tells_details=True)
    for _, media_type, parameters in sorted(clauses, key=lambda clause: -clause[0]):
        if media_type not in (_JSON, _YAML, "application/*", "*/*"):
            continue
        is_yaml = media_type == _YAML
        found = _form(parameters, is_yaml=is_yaml)
        if found is not None:
            is_list = parameters.get("as") == "PartialObjectMetadataList"
            return Media(*found, is_yaml=is_yaml, is_list=is_list)
    raise NotAcceptable(f"only the following media types are accepted: {_ACCEPTED}")


def check_stream(media: Media) -> None:
    """Raises NotAcceptable for a watch in a form that has no frames."""
    if media.is_yaml:
        raise NotAcceptable(f"only the following media types are accepted: {', '.join(_STREAMED)}")


def _clauses(accept: str) -> list[tuple[float, str, dict[str, str]]]:
    found = []
    for clause in accept.split(","):
        media_type, *given = (part.strip() for part in clause.split(";"))
        parameters = dict(part.partition("=")[::2] for part in given if part)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        found.append((quality, media_type.lower(), parameters))
    return found


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
