"""A request as the pipeline passes it on: who asks what of which object. Values only, no I/O."""

from __future__ import annotations

from collections.abc import Mapping

from machinery.api.resource import Resource
from machinery.structs import Struct, field


class User(Struct, frozen=True):
    """Whoever was authenticated; `extra` as in `authentication.k8s.io` UserInfo."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
LOOPBACK = User("system:apiserver", ("system:masters", "system:authenticated"))


class Attributes(Struct, frozen=True):
    """What authorization decides on. Either `resource_name`-style fields are set or `path` is.

    `api_group` and `resource` are plain words, as reviews may ask about resources that don't exist.
    """

    user: User
    verb: str
    api_group: str = ""
    api_version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Target(Struct, frozen=True):
    """Which object or collection a request is about."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def scope(self) -> str:
        """The namespace authorization judges it in; "" for the cluster's."""
        return self.namespace or scope(self.resource.group, self.resource.plural, self.name)


def scope(group: str, plural: str, name: str) -> str:
    """A namespace is itself in it, so that whoever has rights in there can be let see and change it."""
    return name if plural == "namespaces" and not group else ""
