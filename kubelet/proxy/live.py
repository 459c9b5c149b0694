"""The part of a table that the kernel has now, read from what nft lists. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from machinery.structs import Struct, field


class LiveTable(Struct, frozen=True):
    """`leads`: map -> key (as `10.96.0.9 . tcp . 80`) -> chain; `rules`: chain -> its rules; `dropped`: packets."""

    leads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)


def live_table(listed: Iterable[Mapping[str, Any]], text: str) -> LiveTable:
    """From the table as JSON objects and as text."""
    leads: dict[str, dict[str, str]] = {}
    dropped: dict[str, int] = {}
    for entry in listed:
        if "map" in entry:
            elements = entry["map"].get("elem") or ()
            leads[entry["map"]["name"]] = {_key(key): _target(verdict) for key, verdict in elements}
        if "rule" in entry:
            parts = {name: said for each in entry["rule"]["expr"] for name, said in each.items()}
            if "drop" in parts and "counter" in parts:
                chain = entry["rule"]["chain"]
                dropped[chain] = dropped.get(chain, 0) + parts["counter"]["packets"]
    return LiveTable(leads, _rules(text), dropped)


def _key(said: Any) -> str:
    return " . ".join(map(str, said["concat"])) if isinstance(said, dict) else str(said)


def _target(verdict: Mapping[str, Any]) -> str:
    target: str = next(iter(verdict.values()))["target"]
    return target


def _rules(text: str) -> dict[str, tuple[str, ...]]:
    """Blocks as nft prints them: `chain NAME {`, a rule a line, `}`."""
    found: dict[str, tuple[str, ...]] = {}
    chain = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("chain "):
            chain = line.split()[1]
            found[chain] = ()
        elif line == "}":
            chain = ""
        elif chain:
            found[chain] = (*found[chain], line)
    return found
