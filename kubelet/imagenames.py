"""Image names as people write them: checked and completed in the words of the distribution grammar. Pure."""

from __future__ import annotations

import re

from kubelet.fieldrefs import ConfigurationError

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\]"  # noqa: E501
_NAME = rf"(?:(?:{_HOST})(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"\w[\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"^(?P<name>{_NAME})(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?$")
_BARE_ID = re.compile(r"^[a-f0-9]{64}$")


class InvalidImageName(ConfigurationError):
    """The name can't be one; the message is the InspectFailed event's."""


def with_default_tag(image: str) -> str:
    """The name with `:latest` where it has neither tag nor digest."""
    why = _why_not(image)
    if why:
        raise InvalidImageName(
            f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {why}'
        )
    match = _REFERENCE.match(full_name(image))
    if match is None or match["tag"] or match["digest"]:
        return image
    return f"{image}:latest"


def full_name(image: str) -> str:
    """`nginx` -> `docker.io/library/nginx`: how a container's status names its image."""
    host, slash, rest = image.partition("/")
    if not slash or (not any(char in host for char in ".:") and host != "localhost" and host == host.lower()):
        host, rest = "docker.io", image
    if host == "docker.io" and "/" not in rest:
        rest = f"library/{rest}"
    return f"{host}/{rest}"


def _why_not(image: str) -> str:
    if not image:
        return "repository name must have at least one component"
    if _BARE_ID.match(image):
        return f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"
    whole = full_name(image)
    rest = whole.partition("/")[2]
    repository = re.split(r"[:@]", rest, maxsplit=1)[0]
    if repository != repository.lower():
        return f"invalid reference format: repository name ({repository}) must be lowercase"
    return "" if _REFERENCE.match(whole) else "invalid reference format"


def default_pull_policy(image: str) -> str:
    return "Always" if with_default_tag(image).endswith(":latest") else "IfNotPresent"
