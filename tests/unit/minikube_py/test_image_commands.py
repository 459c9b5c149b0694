"""What `image` decides: which image a word means, what prune takes, what people read."""

from __future__ import annotations

import pytest

from minikube_py.cli.image import found, prunable, sibling_tag, size, table
from minikube_py.cli.image_client import NodeImage
from minikube_py.cli.parser import parse
from minikube_py.instance import InstanceError

ONE = NodeImage("sha256:" + "a" * 64, ("docker.io/library/app:1", "docker.io/library/app:2"), (), 61_234_567, True, ())
TWO = NodeImage("sha256:" + "b" * 64, ("docker.io/library/nginx:latest",), ("d",), 999, False, ("c" * 64,))
THREE = NodeImage("sha256:" + "ab" * 32, (), ("docker.io/library/old@sha256:1",), 1500, False, ())
ALL = [ONE, TWO, THREE]


def test_an_image_is_found_by_what_the_runtime_or_the_list_calls_it() -> None:
    assert found(ALL, TWO.id, "nginx") is TWO
    assert found(ALL, "", "a" * 12) is ONE
    assert found(ALL, "", "sha256:" + "ab" * 6) is THREE
    for unknown in ("nosuch", "a", "c" * 12):
        with pytest.raises(InstanceError, match=f"no image {unknown}"):
            found(ALL, "", unknown)


def test_a_name_among_several_is_taken_away_alone() -> None:
    assert sibling_tag(ONE, "app:1") == "docker.io/library/app:1"
    assert sibling_tag(ONE, ONE.id) == ""
    assert sibling_tag(TWO, "nginx") == ""
    assert sibling_tag(ONE, "NO") == ""


def test_prune_takes_what_nobody_uses_or_keeps() -> None:
    assert prunable(ALL, everything=False) == [THREE]
    assert prunable(ALL, everything=True) == [ONE, THREE]


def test_the_list_has_a_line_a_name() -> None:
    assert table(ALL) == [
        "IMAGE                           ID            SIZE    CONTAINERS  KEPT",
        "docker.io/library/app:1         aaaaaaaaaaaa  61.2MB              by hand",
        "docker.io/library/app:2         aaaaaaaaaaaa  61.2MB              by hand",
        "docker.io/library/nginx:latest  bbbbbbbbbbbb  999B    1",
        "docker.io/library/old@sha256:1  abababababab  1.5kB",
    ]
    assert [size(n) for n in (0, 999_600, 2_500_000_000_000)] == ["0B", "1MB", "2.5TB"]


@pytest.mark.parametrize(
    "argv",
    [
        ["image", "--profile", "x", "load", "-", "--output", "json"],
        ["image", "load", "--profile", "x", "-", "--output=json"],
        ["image", "--output", "json", "load", "-", "--profile", "x"],
    ],
)
def test_options_may_stand_on_either_side_of_the_action(argv: list[str]) -> None:
    arguments = parse(argv)
    assert (arguments.profile, arguments.output, arguments.file) == ("x", "json", "-")


def test_ctr_gets_what_follows_it() -> None:
    arguments = parse(["ctr", "--profile", "x", "images", "list", "-q"])
    assert (arguments.profile, arguments.arguments) == ("x", ["images", "list", "-q"])
