"""The table of what was tried with which version, as Markdown, and its place in a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.clients.case import Case
from tests.clients.playing import Outcome

BEGIN, END = "<!-- kubectl: begin -->", "<!-- kubectl: end -->"
PASSED, FAILED, UNKNOWN = "✓", "✗", "–"
Outcomes = Mapping[str, Sequence[Outcome]]
"""By kubectl's version."""


def table(cases: Sequence[Case], outcomes: Outcomes) -> str:
    """A row for each command with how many cases it has, a column for each version; below it what needs a word."""
    rows = list(dict.fromkeys(case.row for case in cases))
    lines = [
        f"| command | cases | {' | '.join(outcomes)} |",
        f"|---|---|{'---|' * len(outcomes)}",
        *(f"| `{row}` | {_count(row, cases)} | {' | '.join(_cells(row, outcomes))} |" for row in rows),
    ]
    return "\n".join([*lines, "", *_words(cases, outcomes)])


def placed(document: str, text: str) -> str:
    """The document with `text` between its two markers; raises ValueError where they are not there."""
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{BEGIN} and {END} are not in the document")
    return f"{head}{BEGIN}\n{text.strip()}\n{END}{tail}"


def _count(row: str, cases: Sequence[Case]) -> int:
    return sum(case.row == row for case in cases)


def _cells(row: str, outcomes: Outcomes) -> list[str]:
    return [_cell([each for each in played if each.case.row == row]) for played in outcomes.values()]


def _cell(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return UNKNOWN
    return FAILED if any(each.complaints for each in outcomes) else PASSED


def _words(cases: Sequence[Case], outcomes: Outcomes) -> list[str]:
    lines = [
        f"- {UNKNOWN} `{case.row}`: kubectl {', '.join(unable)} can't {case.why}"
        for case in cases
        if (unable := [version for version in outcomes if not case.fits(version)])
    ]
    for version, played in outcomes.items():
        lines += [f"- {FAILED} {version}, `{each.case.row}`: {each.case.that}" for each in played if each.complaints]
    return lines
