"""Every case, with the newest and the oldest kubectl of this machine; `scripts/compatibility` tries the others too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.case import Case, differences, load, misprinted
from tests.clients.kubectls import installed
from tests.clients.playing import Outcome, stage
from tests.clients.table import placed, table

KUBECTLS = installed()


@pytest.mark.e2e
@pytest.mark.parametrize("version", dict.fromkeys([*list(KUBECTLS)[-1:], *list(KUBECTLS)[:1]]))
async def test_kubectl_finds_what_it_expects(version: str, tmp_path: Path) -> None:
    cases = [case for case in load() if case.fits(version)]
    async with stage(tmp_path) as staged:
        outcomes = await staged.play(cases, KUBECTLS[version])
    failed = [f"{each.case.name}\n    " + "\n    ".join(each.complaints) for each in outcomes if each.complaints]
    assert not failed, "\n".join(failed)


def a_case(**more: object) -> Case:
    return Case(row="get", that="it works", run="kubectl get", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [".a is 1, not 2"]),
        ({"a": 1}, {"b": None}, []),
        ({"a": 1}, {"a": None}, [".a is 1, not None"]),
        ([{"a": 1, "b": 2}], [{"a": 1}], []),
        ([1, 2], [1], [" is [1, 2], not [1]"]),
        ({"a": {"b": "xyz"}}, {"a": {"b": "~^x"}}, []),
        ({"a": "xyz"}, {"a": "~^y"}, [".a is 'xyz', which does not fit '^y'"]),
        (None, {"a": 1}, [" is None, not {'a': 1}"]),
    ],
)
def test_a_difference_is_said_where_it_is(found: object, wanted: object, said: list[str]) -> None:
    assert list(differences(found, wanted, "")) == said


def test_what_is_printed_is_compared_whole_or_in_parts() -> None:
    assert not list(misprinted(a_case(prints="a\nb\n", shows=["^b$"], hides=["c"]), "a\nb\n"))
    assert len(list(misprinted(a_case(prints="a", shows=["z"], hides=["b"]), "a\nb\n"))) == 3


def test_the_table_tells_of_each_version_what_passed_failed_and_cannot_be() -> None:
    young, old = a_case(), a_case(since="1.31", why="do that")
    outcomes = {"1.27": [Outcome(young)], "1.36": [Outcome(young), Outcome(old, ["wrong"])]}
    assert table([young, old], outcomes) == (
        "| command | cases | 1.27 | 1.36 |\n|---|---|---|---|\n| `get` | 2 | ✓ | ✗ |\n\n"
        "- – `get`: kubectl 1.27 can't do that\n- ✗ 1.36, `get`: it works"
    )


def test_the_table_takes_its_place_between_its_markers_alone() -> None:
    document = "a\n<!-- kubectl: begin -->\nold\n<!-- kubectl: end -->\nb\n"
    assert placed(document, "new\n") == "a\n<!-- kubectl: begin -->\nnew\n<!-- kubectl: end -->\nb\n"
    with pytest.raises(ValueError, match="markers|are not in"):
        placed("a", "new")
