"""`kubectl --as`: whom a user may act as, and who that is. The identity asked for replaces the user's own.

Five ways lead there, tried in turn: four allow but some verbs of some users (KEP-5284), the last and oldest all of
them. The error is that of the first way that applies to whom is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote

from apiserver.authn.tokens import service_account
from apiserver.authz.rbac import MASTERS, Rbac, forbidden
from apiserver.request import ANONYMOUS, Attributes, User
from apiserver.rules.field_errors import said
from apiserver.rules.name_rules import domain_path_errors
from machinery.api import names
from machinery.api.errors import BadRequest, Forbidden, told
from machinery.structs import Struct, field, replace

_PREFIX = "impersonate-"
_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_NODE = "system:node:"
_NODES = "system:nodes"
_NODE_OF_ACCOUNT = "authentication.kubernetes.io/node-name"
_GROUP = "authentication.k8s.io"
_LEGACY = ""
# So many are asked for at once, as one, before each is.
_MANY = 4


class _Asked(Struct):
    user: str = ""
    uid: str = ""
    groups: list[str] = field(default_factory=list)
    extra: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_name_alone(self) -> bool:
        return not (self.uid or self.groups or self.extra)


def impersonated(
    headers: Iterable[tuple[str, str]], user: User, rbac: Rbac, request: Callable[[User], Attributes]
) -> User:
    """Whom `request` is made as: `user` where no header asks for another; raises Forbidden, BadRequest."""
    asked = _asked(headers)
    if asked is None:
        return user
    first: Forbidden | None = None
    for mode in _modes(asked, user):
        try:
            return _acted(asked, mode, user, rbac, request)
        except Forbidden as error:
            first = first or error
    assert first is not None
    raise first


def _asked(headers: Iterable[tuple[str, str]]) -> _Asked | None:
    headed = [(name.lower(), value) for name, value in headers if name[: len(_PREFIX)].lower() == _PREFIX]
    if not headed:
        return None
    asked, first = _Asked(), dict(reversed(headed))
    asked.user, asked.uid = first.get("impersonate-user", ""), first.get("impersonate-uid", "")
    for lowered, value in headed:
        if lowered == "impersonate-group":
            asked.groups.append(value)
        elif lowered.startswith(_EXTRA):
            asked.extra.setdefault(unquote(lowered.removeprefix(_EXTRA)), []).append(value)
    if asked.user:
        return asked
    if asked.is_name_alone:
        return None
    raise BadRequest(f"requested {_said(asked)} without impersonating a user name")


def _modes(asked: _Asked, user: User) -> Iterator[str]:
    """The ways that apply to whom is asked for."""
    account, node = _account(asked.user), _node(asked.user)
    if asked.is_name_alone and node:
        if _account(user.name) and user.extra.get(_NODE_OF_ACCOUNT) == (node,):
            yield "associated-node"
        yield "arbitrary-node"
    if asked.is_name_alone and account:
        yield "serviceaccount"
    if not node and not account:
        yield "user-info"
    yield _LEGACY


def _acted(asked: _Asked, mode: str, user: User, rbac: Rbac, request: Callable[[User], Attributes]) -> User:
    def check(attributes: Attributes) -> None:
        decision = rbac.authorize(attributes)
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)

    account, node = _account(asked.user), _node(asked.user) if mode else ""
    asking = Attributes(user, f"impersonate:{mode}" if mode else "impersonate", _GROUP if mode else "", "v1")
    if mode:
        wanted = request(user)
        check(replace(wanted, verb=f"impersonate-on:{mode}:{wanted.verb}"))
    if account:
        check(replace(asking, resource="serviceaccounts", namespace=account[0], name=account[1]))
    elif node:
        check(replace(asking, resource="nodes", name="*" if mode == "associated-node" else node))
    else:
        check(replace(asking, resource="users", name=asked.user))
    if asked.uid:
        check(replace(asking, api_group=_GROUP, resource="uids", name=asked.uid))
    _check_groups(asked.groups, replace(asking, resource="groups"), check, is_constrained=bool(mode))
    _check_extra(
        asked.extra, replace(asking, api_group=_GROUP, resource="userextras"), check, is_constrained=bool(mode)
    )
    return _identity(asked, account, node)


def _check_groups(
    groups: list[str], asking: Attributes, check: Callable[[Attributes], None], *, is_constrained: bool
) -> None:
    if is_constrained and "" in groups:
        raise forbidden(asking, "impersonating the empty string group is not allowed")
    if is_constrained and MASTERS in groups:
        raise forbidden(replace(asking, name=MASTERS), f"impersonating the {MASTERS} group is not allowed")
    if is_constrained and len(groups) >= _MANY and _passes(check, replace(asking, name="*")):
        return
    for group in groups:
        check(replace(asking, name=group))


def _check_extra(
    extra: dict[str, list[str]], asking: Attributes, check: Callable[[Attributes], None], *, is_constrained: bool
) -> None:
    if is_constrained:
        for key, values in extra.items():
            if why := _extra_error(key, values):
                raise forbidden(asking, why)
        if sum(map(len, extra.values())) >= _MANY and _passes(check, replace(asking, subresource="*", name="*")):
            return
    for key, values in extra.items():
        for value in values:
            check(replace(asking, subresource=key, name=value))


def _passes(check: Callable[[Attributes], None], attributes: Attributes) -> bool:
    try:
        check(attributes)
    except Forbidden:
        return False
    return True


def _extra_error(key: str, values: list[str]) -> str:
    if not key:
        return "impersonating the empty string key in extra is not allowed"
    if causes := list(domain_path_errors(key, "extra.key")):
        return f"impersonating an invalid key in extra is not allowed: {told(causes)}"
    if key != key.lower():
        return f"impersonating a non-lowercase key in extra is not allowed: {said(key)}"
    return "impersonating the empty string value in extra is not allowed" if "" in values else ""


def _identity(asked: _Asked, account: tuple[str, str] | None, node: str) -> User:
    groups = tuple(asked.groups)
    if node:
        groups = (_NODES,)
    elif account and not groups:
        groups = service_account(*account).groups
    wider = "system:unauthenticated" if asked.user == ANONYMOUS.name else "system:authenticated"
    if wider not in groups and "system:unauthenticated" not in groups:
        groups = (*groups, wider)
    return User(asked.user, groups, asked.uid, {key: tuple(values) for key, values in asked.extra.items()})


def _account(name: str) -> tuple[str, str] | None:
    namespace, colon, account = name.removeprefix(_ACCOUNT).partition(":")
    if not name.startswith(_ACCOUNT) or not colon or ":" in account:
        return None
    if names.dns_label(namespace) or names.dns_subdomain(account):
        return None
    return namespace, account


def _node(name: str) -> str:
    node = name.removeprefix(_NODE)
    return node if name.startswith(_NODE) and not names.dns_subdomain(node) else ""


def _said(asked: _Asked) -> str:
    """Go's %#v of a user."""
    extra = ", ".join(f"{said(key)}:{_strings(asked.extra[key])}" for key in sorted(asked.extra))
    of_extra = f"map[string][]string{{{extra}}}" if asked.extra else "map[string][]string(nil)"
    uid, groups = said(asked.uid), _strings(asked.groups)
    return f'&user.DefaultInfo{{Name:"", UID:{uid}, Groups:{groups}, Extra:{of_extra}}}'


def _strings(values: list[str]) -> str:
    return f"[]string{{{', '.join(map(said, values))}}}" if values else "[]string(nil)"
