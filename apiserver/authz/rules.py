"""RBAC rules as sets: whether one allows a request, and whether some cover another. Pure; knows no roles, no cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from apiserver.request import Attributes
from machinery.api.resource import Object

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule; empty sets mean nothing, but `names`, where empty means every object."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]
    wire: Object = field(default_factory=dict, compare=False)
    """The rule as its role writes it, its lists in their order."""

    def allows(self, asked: Attributes) -> bool:
        if "*" not in self.verbs and asked.verb not in self.verbs:
            return False
        if asked.path:
            return any(_url_matches(url, asked.path) for url in self.urls)
        if "*" not in self.groups and asked.api_group not in self.groups:
            return False
        if self.names and asked.name not in self.names:
            return False
        return self._names_resource(asked.resource, asked.subresource)

    def _names_resource(self, resource: str, subresource: str) -> bool:
        if "*" in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources


def rule(wire: Object) -> Rule:
    """The rule that a PolicyRule's JSON tells."""
    return Rule(
        frozenset(wire.get("verbs") or ()),
        frozenset(wire.get("apiGroups") or ()),
        frozenset(wire.get("resources") or ()),
        frozenset(wire.get("resourceNames") or ()),
        tuple(wire.get("nonResourceURLs") or ()),
        wire,
    )


def rules(role: Object) -> tuple[Rule, ...]:
    """A Role's or ClusterRole's rules."""
    return tuple(rule(wire) for wire in role.get("rules") or ())


def uncovered(owned: Sequence[Rule], asked: Sequence[Rule]) -> list[Rule]:
    """What `asked` would allow and `owned` doesn't, in atoms of one verb, group, resource, name or URL each."""
    atoms = [atom for each in asked for atom in breakdown(each)]
    return [atom for atom in atoms if not any(_covers(own, atom) for own in owned)]


def breakdown(rule: Rule) -> list[Rule]:
    """The rule as atoms: each has one verb and one URL, or one verb, group and resource and at most one name."""
    verbs, groups = _ordered(rule, "verbs", rule.verbs), _ordered(rule, "apiGroups", rule.groups)
    names = [frozenset({name}) for name in _ordered(rule, "resourceNames", rule.names)] or [_NOTHING]
    resources = [
        Rule(frozenset({verb}), frozenset({group}), frozenset({resource}), name, ())
        for group in groups
        for resource in _ordered(rule, "resources", rule.resources)
        for verb in verbs
        for name in names
    ]
    urls = [Rule(frozenset({verb}), _NOTHING, _NOTHING, _NOTHING, (url,)) for url in rule.urls for verb in verbs]
    return [*resources, *urls]


def _ordered(rule: Rule, field_name: str, members: frozenset[str]) -> list[str]:
    # Messages list what is missing as the role lists it.
    return list(dict.fromkeys(rule.wire.get(field_name) or sorted(members)))


def _covers(own: Rule, atom: Rule) -> bool:
    if "*" not in own.verbs and not own.verbs >= atom.verbs:
        return False
    if atom.urls:
        return all(any(_url_covers(mine, url) for mine in own.urls) for url in atom.urls)
    if "*" not in own.groups and not own.groups >= atom.groups:
        return False
    if own.names and not (atom.names and own.names >= atom.names):
        return False
    return all(_resource_covered(own.resources, resource) for resource in atom.resources)


def _resource_covered(owned: frozenset[str], resource: str) -> bool:
    if "*" in owned or resource in owned:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in owned


def _url_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def _url_covers(owned: str, asked: str) -> bool:
    return owned in ("*", asked) or (owned.endswith("*") and asked.startswith(owned.rstrip("*")))
