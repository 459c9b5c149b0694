"""`kubectl --as`: whom a user may act as, and who that is. The identity asked for replaces the user's own."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from apiserver.authn.tokens import service_account
from apiserver.authz.rbac import Rbac, forbidden
from apiserver.request import ANONYMOUS, Attributes, User
from machinery.api.errors import InternalError
from machinery.structs import Struct, field

_PREFIX = "impersonate-"
_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"


class _Asked(Struct):
    user: str = ""
    uid: str = ""
    groups: list[str] = field(default_factory=list)
    extra: dict[str, list[str]] = field(default_factory=dict)


def impersonated(headers: Iterable[tuple[str, str]], user: User, rbac: Rbac) -> User:
    """Whom the request is made as: `user` where no header asks for another; raises Forbidden."""
    asked = _asked(headers)
    if asked is None:
        return user
    if not asked.user:
        raise InternalError(f"Internal error occurred: requested {_said(asked)} without impersonating a user")
    account = _account(asked.user)
    for attributes in _needed(asked, account, user):
        decision = rbac.authorize(attributes)
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)
    groups = tuple(asked.groups)
    if account and not groups:
        groups = service_account(*account).groups
    wider = "system:unauthenticated" if asked.user == ANONYMOUS.name else "system:authenticated"
    if wider not in groups:
        groups = (*groups, wider)
    return User(asked.user, groups, asked.uid, {key: tuple(values) for key, values in asked.extra.items()})


def _asked(headers: Iterable[tuple[str, str]]) -> _Asked | None:
    said = [(name.lower(), value) for name, value in headers if name[: len(_PREFIX)].lower() == _PREFIX]
    if not said:
        return None
    asked = _Asked()
    for lowered, value in said:
        if lowered == "impersonate-user":
            asked.user = value
        elif lowered == "impersonate-uid":
            asked.uid = value
        elif lowered == "impersonate-group":
            asked.groups.append(value)
        elif lowered.startswith(_EXTRA):
            asked.extra.setdefault(unquote(lowered.removeprefix(_EXTRA)), []).append(value)
    return asked


def _needed(asked: _Asked, account: tuple[str, str] | None, user: User) -> Iterable[Attributes]:
    def impersonate(resource: str, name: str, *, group: str = "", sub: str = "", namespace: str = "") -> Attributes:
        return Attributes(
            user, "impersonate", api_group=group, api_version="v1", resource=resource, subresource=sub,
            namespace=namespace, name=name,
        )  # fmt: skip

    if account:
        yield impersonate("serviceaccounts", account[1], namespace=account[0])
    else:
        yield impersonate("users", asked.user)
    for group in asked.groups:
        yield impersonate("groups", group)
    for key, values in asked.extra.items():
        for value in values:
            yield impersonate("userextras", value, group="authentication.k8s.io", sub=key)
    if asked.uid:
        yield impersonate("uids", asked.uid, group="authentication.k8s.io")


def _account(name: str) -> tuple[str, str] | None:
    namespace, colon, account = name.removeprefix(_ACCOUNT).partition(":")
    if not name.startswith(_ACCOUNT) or not colon or not namespace or not account or ":" in account:
        return None
    return namespace, account


def _said(asked: _Asked) -> str:
    names = [*asked.groups, *(value for values in asked.extra.values() for value in values)]
    return f"[{' '.join([*names, *([asked.uid] if asked.uid else [])])}]"
