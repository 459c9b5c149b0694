"""An nftables table as a value, and the commands that lead from one such value to the next. Pure.

A change touches the elements, chains and sets that differ, in one transaction; connections go on meanwhile. A table is
called by its family and name, `ip mkpy-1a2b3c-services`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from machinery.structs import Struct, field

Elements = Mapping[str, str]
"""Key of a map or set -> what it leads to ("" in a set)."""


class Ruleset(Struct, frozen=True):
    """`chains` have their rules in order; `sets` are those of their own that chains need, with their declaration."""

    elements: Mapping[str, Elements] = field(default_factory=dict)
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)


def anew(table: str) -> list[str]:
    """The commands that make the table empty, whether it was there or not."""
    return [f"add table {table}", f"delete table {table}", f"add table {table}"]


def base_chain(table: str, name: str, hook: str, rules: Iterable[str]) -> list[str]:
    """The commands that make a chain at one of the kernel's hooks; what no rule decides goes on."""
    return [
        f"add chain {table} {name} {{ {hook}; policy accept; }}",
        *(f"add rule {table} {name} {rule}" for rule in rules),
    ]


def digest(*parts: str) -> str:
    """Names what is told apart by these parts: nftables' names are short and of few letters."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def changed(table: str, before: Ruleset, after: Ruleset) -> str:
    """nft's commands that make `after` of `before`: one transaction; "" where nothing changes."""
    lines = [f"add set {table} {name} {{ {kind} }}" for name, kind in after.sets.items() if name not in before.sets]
    lines += [f"add chain {table} {name}" for name in after.chains if name not in before.chains]
    for name, rules in after.chains.items():
        if before.chains.get(name) != rules:
            if name in before.chains:
                lines.append(f"flush chain {table} {name}")
            lines += [f"add rule {table} {name} {rule}" for rule in rules]
    for name, wanted in after.elements.items():
        there = before.elements.get(name, {})
        gone = [key for key, value in there.items() if wanted.get(key) != value]
        fresh = [f"{key} : {value}" if value else key for key, value in wanted.items() if there.get(key) != value]
        if gone:
            lines.append(f"delete element {table} {name} {{ {', '.join(gone)} }}")
        if fresh:
            lines.append(f"add element {table} {name} {{ {', '.join(fresh)} }}")
    # A chain goes when nothing leads to it any more: those that lead to others first.
    gone_chains = [name for name in before.chains if name not in after.chains]
    lines += [f"flush chain {table} {name}" for name in gone_chains]
    lines += [f"delete chain {table} {name}" for name in gone_chains]
    lines += [f"delete set {table} {name}" for name in before.sets if name not in after.sets]
    return "\n".join(lines) + "\n" if lines else ""
