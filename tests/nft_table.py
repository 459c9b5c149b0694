"""What nft would have of a table, from the commands; it refuses what nft would refuse."""

from __future__ import annotations

import re

from kubelet.nftables import Ruleset


class Table:
    """`is_as` tells whether it is what a Ruleset asks."""

    def __init__(self) -> None:
        self.chains: dict[str, tuple[str, ...]] = {}
        self.sets: set[str] = set()
        self.elements: dict[str, dict[str, str]] = {}

    def apply(self, commands: str) -> None:
        for line in commands.splitlines():
            verb, what, _, _, name, *rest = line.split(" ", 5)
            getattr(self, f"_{verb}_{what}")(name, rest[0] if rest else "")
        known = {*self.chains, "refuse"}
        led = [value for found in self.elements.values() for value in found.values() if value]
        led += [rule for rules in self.chains.values() for rule in rules]
        assert all(goto in known for said in led for goto in re.findall(r"(?:goto|jump) ([\w-]+)", said))
        assert all(used in {*self.sets} for said in led for used in re.findall(r"@([\w-]+)", said))

    def _add_set(self, name: str, _: str) -> None:
        self.sets.add(name)

    def _delete_set(self, name: str, _: str) -> None:
        self.sets.remove(name)
        self.elements.pop(name, None)

    def _add_chain(self, name: str, _: str) -> None:
        assert name not in self.chains
        self.chains[name] = ()

    def _delete_chain(self, name: str, _: str) -> None:
        assert self.chains.pop(name) == ()

    def _flush_chain(self, name: str, _: str) -> None:
        self.chains[name] = ()

    def _add_rule(self, name: str, rule: str) -> None:
        self.chains[name] = (*self.chains[name], rule)

    def _add_element(self, name: str, said: str) -> None:
        for each in said.strip("{} ").split(", "):
            key, _, value = each.partition(" : ")
            assert key not in self.elements.setdefault(name, {})
            self.elements[name][key] = value

    def _delete_element(self, name: str, said: str) -> None:
        for key in said.strip("{} ").split(", "):
            del self.elements[name][key]

    def is_as(self, wanted: Ruleset) -> bool:
        there, asked = ({name: dict(found) for name, found in each.items() if found}
                        for each in (self.elements, wanted.elements))  # fmt: skip
        return (self.chains, self.sets, there) == (dict(wanted.chains), set(wanted.sets), asked)
