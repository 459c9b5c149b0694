"""Nobody grants what they do not hold: writing a role or binding needs what is in it, or `escalate` or `bind`."""

from __future__ import annotations

from collections.abc import Sequence

from apiserver.authz.rbac import MASTERS, Rbac
from apiserver.authz.rules import Rule, rule, rules, uncovered
from apiserver.request import Attributes, Target, User
from machinery.api.errors import Forbidden, not_found
from machinery.api.resource import Object, Resource

GROUP = "rbac.authorization.k8s.io"
_EVERYTHING = (
    rule({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
    rule({"verbs": ["*"], "nonResourceURLs": ["*"]}),
)


def check_escalation(user: User, target: Target, obj: Object, old: Object | None, rbac: Rbac) -> None:
    """Raises Forbidden where `user` may not write `obj`, a role or binding; `old` is what it replaces, if anything.

    The namespace is the request's: what is written need not name it.
    """
    resource = target.resource
    if resource.group != GROUP or MASTERS in user.groups:
        return
    if resource.plural in ("roles", "clusterroles"):
        _check_role(user, target, obj, old, rbac)
    else:
        _check_binding(user, target, obj, old, rbac)


def _check_role(user: User, target: Target, obj: Object, old: Object | None, rbac: Rbac) -> None:
    if old is not None and _unchanged(obj, old, "rules", "aggregationRule"):
        return
    resource, name, namespace = target.resource, _name(obj), target.namespace
    asked = Attributes(
        user, "escalate", api_group=GROUP, api_version="*", resource=resource.plural, namespace=namespace, name=name
    )
    if rbac.authorize(asked).allowed:
        return
    # Whose sum a role will be can't be known now, so only who holds everything may let it be summed up.
    held, errors = rbac.rules_for_user(user, namespace)
    if obj.get("aggregationRule") and uncovered(held, _EVERYTHING):
        missing = _said(user, uncovered(held, _EVERYTHING), errors)
        raise _forbidden(resource, name, f"must have cluster-admin privileges to use an aggregationRule: {missing}")
    _confirm(user, resource, name, rules(obj), held, errors)


def _check_binding(user: User, target: Target, obj: Object, old: Object | None, rbac: Rbac) -> None:
    if old is not None and _unchanged(obj, old, "subjects", "roleRef"):
        return
    resource, name, namespace = target.resource, _name(obj), target.namespace
    # An apply may name subjects alone: they are bound to what the binding there is refers to.
    reference = obj.get("roleRef") or (old or {}).get("roleRef") or {}
    if not reference:
        return
    kind, role = reference.get("kind", ""), reference.get("name", "")
    plural = "clusterroles" if kind == "ClusterRole" else "roles"
    asked = Attributes(user, "bind", api_group=GROUP, api_version="*", resource=plural, namespace=namespace, name=role)
    if rbac.authorize(asked).allowed:
        return
    granted = rbac.role_rules(kind, namespace, role)
    if granted is None:
        raise not_found(plural, role, GROUP)
    held, errors = rbac.rules_for_user(user, namespace)
    _confirm(user, resource, name, granted, held, errors)


def _confirm(
    user: User, resource: Resource, name: str, granted: Sequence[Rule], held: Sequence[Rule], errors: Sequence[str]
) -> None:
    missing = uncovered(held, granted)
    if missing:
        raise _forbidden(resource, name, _said(user, missing, errors))


def _said(user: User, missing: Sequence[Rule], errors: Sequence[str]) -> str:
    lines = "\n".join(sorted({_text(compact) for compact in _compacted(missing)}))
    said = (
        f'user "{user.name}" (groups={_list(user.groups)}) is attempting to grant RBAC permissions not currently held:'
        f"\n{lines}"
    )
    return f"{said}; resolution errors: [{', '.join(errors)}]" if errors else said


def _compacted(atoms: Sequence[Rule]) -> list[dict[str, list[str]]]:
    """One rule for each resource and name, its verbs together; URLs stay apart, as upstream prints them."""
    found: dict[object, dict[str, list[str]]] = {}
    for atom in atoms:
        key = (atom.groups, atom.resources, atom.names) if not atom.urls else (atom.urls, atom.verbs)
        fields = {
            "APIGroups": list(atom.groups),
            "Resources": list(atom.resources),
            "NonResourceURLs": list(atom.urls),
            "ResourceNames": list(atom.names),
            "Verbs": [],
        }
        found.setdefault(key, fields)["Verbs"] += atom.verbs
    return list(found.values())


def _text(fields: dict[str, list[str]]) -> str:
    return "{" + ", ".join(f"{name}:{_list(values)}" for name, values in fields.items() if values) + "}"


def _name(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("name") or "")


def _list(values: Sequence[str]) -> str:
    """Go's %q of a list."""
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def _unchanged(obj: Object, old: Object, *fields: str) -> bool:
    return all((obj.get(name) or None) == (old.get(name) or None) for name in fields)


def _forbidden(resource: Resource, name: str, why: str) -> Forbidden:
    message = f'{resource.qualified} "{name}" is forbidden: {why}'
    return Forbidden(message, kind=resource.plural, group=resource.group, name=name)
