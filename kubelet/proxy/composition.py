"""A table that many parts make together, each replaced by itself: a change costs what the part is, not the table. Pure.

A part's chains and sets are its own. Elements may be wanted by several (a pod behind two Services); the part that comes
first by its key has its way, and an element goes with the last that wants it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kubelet.nftables import Ruleset


class Key(NamedTuple):
    """Whose part it is."""

    namespace: str
    name: str


class Composition:
    def __init__(self) -> None:
        self._parts: dict[Key, Ruleset] = {}
        self._wanted: dict[str, dict[str, dict[Key, str]]] = {}

    def replace(self, parts: Mapping[Key, Ruleset]) -> tuple[Ruleset, Ruleset]:
        """What the table had, and has now, where these parts touch it: for `nftables.changed`."""
        touched: dict[str, set[str]] = {}
        for key, part in parts.items():
            for each in (self._parts.get(key, Ruleset()), part):
                for name, elements in each.elements.items():
                    touched.setdefault(name, set()).update(elements)
        before = self._excerpt([self._parts[key] for key in parts if key in self._parts], touched)
        for key, part in parts.items():
            self._put(key, part)
        return before, self._excerpt(list(parts.values()), touched)

    def whole(self) -> Ruleset:
        """All of the table."""
        everything = {name: set(elements) for name, elements in self._wanted.items()}
        return self._excerpt(list(self._parts.values()), everything)

    def _put(self, key: Key, part: Ruleset) -> None:
        before = self._parts.pop(key, Ruleset())
        for name, elements in before.elements.items():
            wanted = self._wanted[name]
            for element in elements:
                del wanted[element][key]
                if not wanted[element]:
                    del wanted[element]
        if part.chains or any(part.elements.values()):
            self._parts[key] = part
            for name, elements in part.elements.items():
                wanted = self._wanted.setdefault(name, {})
                for element, value in elements.items():
                    wanted.setdefault(element, {})[key] = value

    def _excerpt(self, parts: list[Ruleset], touched: Mapping[str, set[str]]) -> Ruleset:
        elements = {}
        for name, keys in touched.items():
            wanted = self._wanted.get(name, {})
            elements[name] = {key: wanted[key][min(wanted[key])] for key in sorted(keys) if key in wanted}
        return Ruleset(
            elements,
            {name: rules for part in parts for name, rules in part.chains.items()},
            {name: kind for part in parts for name, kind in part.sets.items()},
        )
