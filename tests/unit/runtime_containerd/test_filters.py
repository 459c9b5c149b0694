"""containerd's filter language, case by case."""

from __future__ import annotations

import pytest

from runtime.containerd.content import merged
from runtime.containerd.filters import adaptor, any_of
from runtime.errors import InvalidArgument

THING = adaptor(
    {
        "name": "docker.io/library/nginx:latest",
        "topic": "/tasks/exit",
        "empty": "",
        "target": {"digest": "sha256:a"},
        "labels": {"io.kubernetes.pod.name": "web", "plain": "a,b"},
    }
)


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ([], True),
        (["name"], True),
        (["absent"], False),
        (["empty"], False),
        (["name==docker.io/library/nginx:latest"], True),
        (['name=="docker.io/library/nginx:latest"'], True),
        (["name==nginx"], False),
        (["name!=nginx"], True),
        (["absent!=x"], True),
        (["name~=nginx"], True),
        (["name~=^nginx"], False),
        (["name~=/library.nginx/"], True),
        (["name~=|library/nginx|,name~=latest$"], True),
        (["name~=nginx,name==x"], False),
        (["name==x", "name~=nginx"], True),
        (["topic==/tasks/exit"], True),
        (["target.digest==sha256:a"], True),
        (['labels."io.kubernetes.pod.name"==web'], True),
        (['labels."io.kubernetes.pod.name"'], True),
        (['labels.plain=="a,b"'], True),
        (["labels.other"], False),
        (["name.sub==x"], False),
    ],
)
def test_a_filter_passes_what_it_names(filters: list[str], passes: bool) -> None:
    assert any_of(filters)(THING) is passes


@pytest.mark.parametrize("text", ["", "==x", "name==a b", "name~=(", ",name", "name==a,", 'name=="a'])
def test_a_filter_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="filters: "):
        any_of([text])


@pytest.mark.parametrize(
    ("given", "paths", "wanted"),
    [
        ({"b": "2"}, [], {"b": "2"}),
        ({"b": "2"}, ["labels"], {"b": "2"}),
        ({"b": "2"}, ["labels.b"], {"a": "1", "b": "2"}),
        ({"a": ""}, ["labels.a"], {}),
        ({}, ["labels.a"], {}),
        ({"x.y": "3"}, ["labels.x.y"], {"a": "1", "x.y": "3"}),
    ],
)
def test_labels_change_as_the_mask_says(given: dict[str, str], paths: list[str], wanted: dict[str, str]) -> None:
    assert merged({"a": "1"}, given, paths) == wanted


def test_a_mask_of_another_field_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="cannot update 'size' field"):
        merged({}, {}, ["size"])
