"""Whether a user may do something, by the cluster's roles and bindings as the cache tells them.

Bindings are indexed by subject as they change; what a subject's roles allow is compiled at the first question and
forgotten at the next change, so that a request costs a few set lookups.
"""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.authz.node import ROLE as NODE_ROLE
from apiserver.authz.node import node_allows
from apiserver.authz.rules import Rule, rules
from apiserver.request import Attributes, User
from machinery.api.errors import Forbidden
from machinery.api.resource import Object
from machinery.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from machinery.client.cache import Cache, Change
from machinery.contain import contain
from machinery.structs import Struct

MASTERS = "system:masters"
_KEPT_DECISIONS = 8192

Subject = tuple[str, str]
"""("User" | "Group", name); a ServiceAccount is the user as whom it acts."""


class Decision(Struct, frozen=True):
    allowed: bool
    reason: str = ""


class Grant(Struct, frozen=True):
    """One binding's rules for one user; `error` instead of rules where the role isn't there."""

    rules: tuple[Rule, ...]
    reason: str
    error: str = ""


class _Bound(Struct, frozen=True):
    namespace: str
    name: str
    role_kind: str
    role_name: str
    subject_text: str

    @property
    def reason(self) -> str:
        binding = (
            f'RoleBinding "{self.name}/{self.namespace}"' if self.namespace else f'ClusterRoleBinding "{self.name}"'
        )
        return f'RBAC: allowed by {binding} of {self.role_kind} "{self.role_name}" to {self.subject_text}'


class Rbac:
    """Follows `cache` from its construction on."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._bindings: dict[str, dict[Subject, dict[str, _Bound]]] = {}
        self._grants: dict[tuple[str, tuple[str, ...], str], tuple[Grant, ...]] = {}
        self._decisions: dict[tuple[object, ...], Decision] = {}
        self._node: tuple[Rule, ...] | None = None
        self._ends = [
            cache.subscribe(CLUSTER_ROLES, self._role_changed),
            cache.subscribe(ROLES, self._role_changed),
            cache.subscribe(CLUSTER_ROLE_BINDINGS, self._binding_changed),
            cache.subscribe(ROLE_BINDINGS, self._binding_changed),
        ]

    def close(self) -> None:
        """Stops following the cache."""
        for end in self._ends:
            end()

    def authorize(self, asked: Attributes) -> Decision:
        """Whether the user may, and by which binding; a denial's reason is empty unless a role is missing."""
        user = asked.user
        if MASTERS in user.groups:
            return Decision(allowed=True)
        if "system:nodes" in user.groups and node_allows(asked, self._cache, self._node_rules()):
            return Decision(allowed=True)
        key = (
            user.name, user.groups, asked.verb, asked.api_group, asked.resource, asked.subresource,
            asked.namespace, asked.name, asked.path,
        )  # fmt: skip
        decision = self._decisions.get(key)
        if decision is None:
            decision = self._decide(asked)
            if len(self._decisions) >= _KEPT_DECISIONS:
                self._decisions.clear()
            self._decisions[key] = decision
        return decision

    def grants(self, user: User, namespace: str) -> tuple[Grant, ...]:
        """What each binding gives the user: the cluster's first, then those of `namespace`, if one is named."""
        key = (user.name, user.groups, namespace)
        found = self._grants.get(key)
        if found is None:
            found = tuple(self._grant(bound) for bound in self._bound(user, namespace))
            if len(self._grants) >= _KEPT_DECISIONS:
                self._grants.clear()
            self._grants[key] = found
        return found

    def rules_for_user(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """All that the user may do in `namespace`, and the errors met; masters' rules are those of cluster-admin."""
        grants = self.grants(user, namespace)
        return [rule for grant in grants for rule in grant.rules], [grant.error for grant in grants if grant.error]

    def role_rules(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of the role that a binding in `namespace` refers to, None if it isn't there."""
        resource = CLUSTER_ROLES if kind == "ClusterRole" else ROLES
        role = self._cache.get(resource, "" if kind == "ClusterRole" else namespace, name)
        return None if role is None else rules(role)

    def _decide(self, asked: Attributes) -> Decision:
        grants = self.grants(asked.user, asked.namespace)
        for grant in grants:
            if any(rule.allows(asked) for rule in grant.rules):
                return Decision(allowed=True, reason=grant.reason)
        errors = list(dict.fromkeys(grant.error for grant in grants if grant.error))
        if not errors:
            return Decision(allowed=False)
        said = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        return Decision(allowed=False, reason=f"RBAC: {said}")

    def _bound(self, user: User, namespace: str) -> Iterator[_Bound]:
        subjects = [("User", user.name), *(("Group", group) for group in user.groups)]
        for scope in dict.fromkeys(("", namespace)):
            by_subject = self._bindings.get(scope)
            if by_subject is None:
                continue
            for subject in subjects:
                yield from by_subject.get(subject, {}).values()

    def _grant(self, bound: _Bound) -> Grant:
        plural = "clusterrole" if bound.role_kind == "ClusterRole" else "role"
        error = f'{plural}.rbac.authorization.k8s.io "{bound.role_name}" not found'
        # A stored role that makes no sense takes nothing from who is bound to others too.
        with contain("rbac", about=bound.reason):
            found = self.role_rules(bound.role_kind, bound.namespace, bound.role_name)
            if found is not None:
                return Grant(found, bound.reason)
        return Grant((), bound.reason, error)

    def _node_rules(self) -> tuple[Rule, ...]:
        if self._node is None:
            self._node = self.role_rules("ClusterRole", "", NODE_ROLE) or ()
        return self._node

    def _role_changed(self, change: Change) -> None:
        self._forget()

    def _binding_changed(self, change: Change) -> None:
        self._forget()
        if change.before is not None:
            self._unbind(change.before)
        if change.after is not None:
            self._bind(change.after)

    def _bind(self, binding: Object) -> None:
        for subject, bound in _subjects(binding):
            by_subject = self._bindings.setdefault(bound.namespace, {})
            by_subject.setdefault(subject, {}).setdefault(bound.name, bound)

    def _unbind(self, binding: Object) -> None:
        for subject, bound in _subjects(binding):
            by_subject = self._bindings.get(bound.namespace, {})
            names = by_subject.get(subject, {})
            names.pop(bound.name, None)
            if not names:
                by_subject.pop(subject, None)
            if not by_subject:
                self._bindings.pop(bound.namespace, None)

    def _forget(self) -> None:
        self._node = None
        self._grants.clear()
        self._decisions.clear()


def _subjects(binding: Object) -> Iterator[tuple[Subject, _Bound]]:
    metadata, role = binding["metadata"], binding.get("roleRef") or {}
    namespace = metadata.get("namespace", "")
    for subject in binding.get("subjects") or ():
        if not isinstance(subject, dict):
            continue
        kind, name = subject.get("kind", ""), subject.get("name", "")
        text = f'{kind} "{name}"'
        key = (kind, name)
        if kind == "ServiceAccount":
            home = subject.get("namespace") or namespace
            if not home:
                continue
            text = f'{kind} "{name}/{home}"'
            key = ("User", f"system:serviceaccount:{home}:{name}")
        yield key, _Bound(namespace, metadata["name"], role.get("kind", ""), role.get("name", ""), text)


def forbidden(asked: Attributes, reason: str = "") -> Forbidden:
    """The error that tells the user what they may not do, in the words kubectl's users know."""
    said = _denial(asked) + (f": {reason}" if reason else "")
    if asked.path:
        return Forbidden(f"forbidden: {said}")
    qualified = f"{asked.resource}.{asked.api_group}" if asked.api_group else asked.resource
    message = f'{qualified} "{asked.name}" is forbidden: {said}' if asked.name else f"{qualified} is forbidden: {said}"
    return Forbidden(message, kind=asked.resource, group=asked.api_group, name=asked.name)


def _denial(asked: Attributes) -> str:
    user = asked.user.name
    if asked.path:
        return f'User "{user}" cannot {asked.verb} path "{asked.path}"'
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    said = f'User "{user}" cannot {asked.verb} resource "{resource}" in API group "{asked.api_group}"'
    if asked.namespace:
        return f'{said} in the namespace "{asked.namespace}"'
    return f"{said} at the cluster scope"
