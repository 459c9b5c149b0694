"""What a client is tried with: a script as people type it, and what must be true of its words and the world after it.

`cases/*.yaml` map a row of the table in docs/compatibility.md to its cases. A case:

    that: what the case shows, a sentence
    given: [objects that are there before: names from objects.yaml, or written out]
    files: [names from objects.yaml that the script finds as NAME.yaml]
    ready: {what is waited for before the script starts, written as `then`}
    run: the script, for bash; its first failing command ends it
    exit: 0, the script's exit code
    prints: all that it prints, errors too    shows, hides: [regular expressions that fit a part of it, or none]
    then: {resource/name: what that object holds at the end; null: it is not there}
    eventually: {the same, once controllers have done their part}
    since, until: "1.31", the first and the last kubectl that knows the command; `why` says what the others lack

`NS` stands for the namespace that the case gets for itself. In `then` a mapping asks for no more than it names, a list
for all elements; null is absence; text after `~` is a regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from machinery.structs import replace

HERE = Path(__file__).parent
FIRST, LAST = "1.0", "1.999"
Wanted = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    row: str
    that: str
    run: str
    given: Sequence[Any] = ()
    files: Sequence[str] = ()
    ready: Wanted = field(default_factory=dict)
    exit: int = 0
    prints: str | None = None
    shows: Sequence[str] = ()
    hides: Sequence[str] = ()
    then: Wanted = field(default_factory=dict)
    eventually: Wanted = field(default_factory=dict)
    since: str = FIRST
    until: str = LAST
    why: str = ""

    @property
    def name(self) -> str:
        return f"{self.row}: {self.that}"

    def within(self, namespace: str) -> Case:
        """The case with NS spelled out."""
        return replace(self, **{each.name: placed(getattr(self, each.name), namespace) for each in fields(self)})

    def fits(self, version: str) -> bool:
        """Whether that kubectl knows the command."""
        return number(self.since) <= number(version) <= number(self.until)


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def load() -> list[Case]:
    """All cases, in the order of the table's rows."""
    return [
        Case(row=row, **case)
        for path in sorted((HERE / "cases").glob("*.yaml"))
        for row, cases in yaml.safe_load(path.read_text()).items()
        for case in cases
    ]


def objects() -> dict[str, Any]:
    """The objects that cases refer to, by the name that they call them."""
    found: dict[str, Any] = yaml.safe_load((HERE / "objects.yaml").read_text())
    return found


def placed(value: Any, namespace: str) -> Any:
    """`value` with NS spelled out."""
    if isinstance(value, str):
        return re.sub(r"\bNS\b", namespace, value)
    if isinstance(value, dict):
        return {placed(key, namespace): placed(each, namespace) for key, each in value.items()}
    return [placed(each, namespace) for each in value] if isinstance(value, list) else value


def differences(found: Any, wanted: Any, at: str) -> Iterator[str]:
    """Where `found` is not as `wanted` says."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, each in wanted.items():
            yield from differences(found.get(key), each, f"{at}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, each in enumerate(wanted):
            yield from differences(found[index], each, f"{at}[{index}]")
    elif isinstance(wanted, str) and wanted.startswith("~") and isinstance(found, str):
        if not re.search(wanted[1:], found):
            yield f"{at} is {found!r}, which does not fit {wanted[1:]!r}"
    elif found != wanted:
        yield f"{at} is {found!r}, not {wanted!r}"


def misprinted(case: Case, said: str) -> Iterator[str]:
    """What is wrong with the script's words."""
    if case.prints is not None and case.prints.strip() != said.strip():
        yield f"printed {said.strip()!r}, not {case.prints.strip()!r}"
    for pattern in case.shows:
        if not re.search(pattern, said, re.MULTILINE):
            yield f"{pattern!r} is not in {said!r}"
    for pattern in case.hides:
        if re.search(pattern, said, re.MULTILINE):
            yield f"{pattern!r} is in {said!r}"
