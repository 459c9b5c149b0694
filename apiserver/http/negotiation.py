"""In which form the client wants its answer: JSON or YAML, the object itself, a Table or metadata alone. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from machinery.api.errors import NotAcceptable
from machinery.structs import Struct

Form = Literal["object", "table", "partial"]

_ACCEPTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
"""What Go reads as true."""
_PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


class Media(Struct, frozen=True):
    """`version` is that of the Table or metadata, "" for the object itself."""

    form: Form = "object"
    version: str = ""
    is_yaml: bool = False


JSON = Media()


@lru_cache(maxsize=256)
def negotiate(accept: str) -> Media:
    """The best of what the client accepts; raises NotAcceptable where that is nothing we write."""
    if not accept.strip():
        return JSON
    for _, media_type, parameters in sorted(_clauses(accept), key=lambda clause: -clause[0]):
        if media_type in ("application/json", "application/*", "*/*"):
            is_yaml = False
        elif media_type == "application/yaml":
            is_yaml = True
        else:
            continue
        found = _form(parameters)
        if found is not None:
            return Media(*found, is_yaml=is_yaml)
    raise NotAcceptable(f"only the following media types are accepted: {_ACCEPTED}")


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


def _form(parameters: dict[str, str]) -> tuple[Form, str] | None:
    wanted = parameters.get("as")
    if not wanted:
        return "object", ""
    version = parameters.get("v", "")
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
