"""Field sets: what of an object they name, and how sets are joined and taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.registry.fieldset import (
    compare,
    members,
    root_difference,
    root_intersection,
    root_union,
    without,
)
from apiserver.registry.merging import merged, pruned
from apiserver.registry.wholeset import Trie, configured
from machinery.api.resources import CONFIG_MAPS, DEPLOYMENTS, PODS
from machinery.api.schema import definition

POD = definition(PODS)


def pod(*containers: dict[str, object]) -> dict[str, object]:
    return {"spec": {"containers": list(containers)}}


def test_a_new_item_of_a_keyed_list_is_a_member_and_its_fields_too() -> None:
    changed, removed = compare(pod(), pod({"name": "a", "image": "i"}), POD)
    item = {".": {}, "f:name": {}, "f:image": {}}
    assert changed == {"f:spec": {"f:containers": {'k:{"name":"a"}': item}}}
    assert removed is None


def test_an_atomic_list_changes_as_a_whole() -> None:
    before, after = pod({"name": "a", "command": ["x"]}), pod({"name": "a", "command": ["x", "y"]})
    changed, _ = compare(before, after, POD)
    assert list(members(changed)) == ['.spec.containers[name="a"].command']


def test_what_went_away_is_removed_with_its_item() -> None:
    _, removed = compare(pod({"name": "a", "image": "i"}), pod(), POD)
    assert list(members(removed)) == [
        '.spec.containers[name="a"]',
        '.spec.containers[name="a"].image',
        '.spec.containers[name="a"].name',
    ]


def test_a_configuration_names_leaves_and_items_but_no_structs() -> None:
    config = {"data": {"k": "v"}}
    assert configured(config, definition(CONFIG_MAPS)) == {"f:data": {"f:k": {}}}
    ports = {"name": "a", "ports": [{"containerPort": 80}]}
    found = configured(pod(ports), POD)
    port = {".": {}, "f:containerPort": {}}
    assert found["f:spec"]["f:containers"]['k:{"name":"a"}']["f:ports"] == {
        'k:{"containerPort":80,"protocol":"TCP"}': port
    }


def test_an_empty_map_is_a_leaf() -> None:
    assert configured({"data": {}}, definition(CONFIG_MAPS)) == {"f:data": {}}


def test_merging_keeps_what_the_configuration_does_not_name() -> None:
    live = pod({"name": "a", "image": "1", "tty": True}, {"name": "b", "image": "2"})
    config = pod({"name": "c", "image": "3"}, {"name": "a", "image": "9"})
    names = [(each["name"], each["image"]) for each in merged(live, config, POD)["spec"]["containers"]]
    assert sorted(names) == [("a", "9"), ("b", "2"), ("c", "3")]


def test_pruning_removes_what_nobody_names_any_more() -> None:
    value = {"data": {"mine": "1", "shared": "2", "other": "3"}}
    last: Trie = {"f:data": {"f:mine": {}, "f:shared": {}}}
    owned: Trie = {"f:data": {"f:shared": {}}}
    assert pruned(value, last, owned, definition(CONFIG_MAPS)) == {"data": {"shared": "2", "other": "3"}}


def test_an_item_stays_while_somebody_owns_a_part_of_it() -> None:
    value = pod({"name": "a", "image": "i", "tty": True})
    last = configured(pod({"name": "a", "image": "i"}), POD)
    owned = configured(pod({"name": "a", "tty": True}), POD)
    assert pruned(value, last, owned, POD) == pod({"name": "a", "tty": True})


def test_without_cuts_whole_branches() -> None:
    fields: Trie = {"f:metadata": {"f:name": {}, "f:labels": {"f:a": {}}}, "f:status": {"f:phase": {}}}
    assert without(fields, [("metadata", "name"), ("status",)]) == {"f:metadata": {"f:labels": {"f:a": {}}}}
    assert without({"f:metadata": {"f:name": {}}}, [("metadata", "name")]) is None


OBJECTS = st.recursive(
    st.integers(0, 3) | st.sampled_from(["x", "y"]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"), max_size=4)
SETS = st.builds(
    lambda data: configured({"metadata": {"labels": data}}, definition(DEPLOYMENTS)) if data else None, DATA
)


@given(SETS, SETS)
def test_sets_obey_the_laws_of_sets(left: Trie | None, right: Trie | None) -> None:
    both = root_union(left, right)
    assert root_difference(both, both) is None
    assert root_union(root_difference(left, right), root_intersection(left, right)) == left
    assert set(members(both)) == {*members(left), *members(right)}
    assert set(members(root_difference(left, right))) == {*members(left)} - {*members(right)}


@given(DATA, DATA)
def test_a_configuration_that_was_merged_in_changes_nothing_again(live: dict[str, str], config: dict[str, str]) -> None:
    schema = definition(CONFIG_MAPS)
    once = merged({"data": live}, {"data": config}, schema)
    assert merged(once, {"data": config}, schema) == once


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("f:a", ".a"),
        ('k:{"containerPort":80,"protocol":"TCP"}', '[containerPort=80,protocol="TCP"]'),
        ('v:"x"', '[="x"]'),
    ],
)
def test_paths_are_written_as_messages_know_them(path: str, said: str) -> None:
    assert list(members({path: {}})) == [said]
