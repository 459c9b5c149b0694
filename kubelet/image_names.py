"""Image names as the kubelet completes them: a tag where neither tag nor digest is said (distribution's grammar)."""

from __future__ import annotations

import re

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_NAME = rf"(?:{_DOMAIN}(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*"
_REFERENCE = re.compile(rf"({_NAME})(?::([\w][\w.-]{{0,127}}))?(?:@([A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{{32,}}))?")


class InvalidImageName(ValueError):
    """In the words of upstream's parser."""


def with_default_tag(image: str) -> str:
    """`image`, with `:latest` where it says neither tag nor digest; raises InvalidImageName."""
    found = _REFERENCE.fullmatch(image)
    if found is None:
        raise InvalidImageName(f'couldn\'t parse image name "{image}": invalid reference format{_why(image)}')
    _, tag, digest = found.groups()
    return image if tag or digest else f"{image}:latest"


def _why(image: str) -> str:
    name = image.partition("@")[0]
    head, colon, _ = name.rpartition(":")
    for candidate in (name, head if colon else name, name.partition(":")[0]):
        if candidate != candidate.lower() and _REFERENCE.fullmatch(candidate.lower()):
            path = candidate if "/" in candidate else f"library/{candidate}"
            return f": repository name ({path}) must be lowercase"
    return ""
