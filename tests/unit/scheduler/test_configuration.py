"""What a KubeSchedulerConfiguration changes, and how it is refused where it asks for what is not there."""

from __future__ import annotations

from typing import Any

import pytest

from machinery.api.resource import Object
from scheduler.configuration import ConfigurationError, read
from scheduler.filtering import enough_nodes
from scheduler.framework import Profile
from scheduler.pod_info import Shapes
from scheduler.profile import DEFAULT
from scheduler.schedule import schedule
from scheduler.snapshot import Snapshot
from tests.unit.scheduler.builders import node, pod


def document(*profiles: Object, **more: Any) -> Object:
    kind = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
    return {**kind, "profiles": list(profiles), **more}


def profile(**said: Any) -> Profile:
    return read(document(said)).profiles[0]


def goes_to(wanted: Object, by: Profile) -> str:
    nodes = [node("empty", taints=[]), node("used")]
    return schedule(Shapes().info(wanted), Snapshot.of(nodes, {"used": [pod("q", cpu="1")]}), by).node


def fit(**strategy: Any) -> list[Object]:
    return [{"name": "NodeResourcesFit", "args": {"scoringStrategy": strategy}}]


def test_an_empty_one_is_the_default() -> None:
    found = read(document())
    assert (found.profiles[0].name, found.initial_backoff, found.max_backoff) == ("default-scheduler", 1, 10)
    assert found.profiles[0].weights == DEFAULT.weights


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({"type": "LeastAllocated"}, "empty"),
        ({"type": "MostAllocated"}, "used"),
        ({"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 5}]}, "used"),
        (
            {
                "type": "RequestedToCapacityRatio",
                "requestedToCapacityRatio": {
                    "shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]
                },
            },
            "used",
        ),
    ],
)
def test_nodes_are_filled_or_spared_as_the_strategy_says(strategy: Object, expected: str) -> None:
    disabled = {"score": {"disabled": [{"name": "NodeResourcesBalancedAllocation"}]}}
    assert goes_to(pod("p", cpu="500m"), profile(pluginConfig=fit(**strategy), plugins=disabled)) == expected


def test_a_filter_that_is_disabled_refuses_nothing() -> None:
    wanted = pod("p", cpu="100")
    assert goes_to(wanted, DEFAULT) == ""
    assert goes_to(wanted, profile(plugins={"filter": {"disabled": [{"name": "NodeResourcesFit"}]}}))
    assert goes_to(wanted, profile(plugins={"multiPoint": {"disabled": [{"name": "NodeResourcesFit"}]}}))


def test_a_weight_can_be_given_and_all_scores_but_one_taken_out() -> None:
    only = {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeAffinity", "weight": 7}]}}
    found = profile(plugins=only)
    scorers = [(plugin.name, weight) for plugin, weight in (*found.alone_scorers, *found.other_scorers)]
    assert scorers == [("NodeAffinity", 7)]
    assert [plugin.name for plugin in found.filters] == [plugin.name for plugin in DEFAULT.filters]


def test_profiles_have_their_own_names_and_plugins() -> None:
    quiet = {"postFilter": {"disabled": [{"name": "DefaultPreemption"}]}}
    found = read(document({"schedulerName": "a"}, {"schedulerName": "b", "plugins": quiet}, podMaxBackoffSeconds=60))
    assert [each.name for each in found.profiles] == ["a", "b"]
    assert [any(plugin.post_filter for plugin in each.plugins) for each in found.profiles] == [True, False]
    assert found.max_backoff == 60


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"kind": "Other"}, "it must be a KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1"),
        (document(extenders=[{}]), "extenders: are not supported"),
        (document({}, {}), 'profiles: Duplicate value: "default-scheduler"'),
        (
            document({"plugins": {"score": {"enabled": [{"name": "Mine"}]}}}),
            'profiles[0].plugins.score: plugin "Mine" does not exist',
        ),
        (
            document({"pluginConfig": fit(type="Random")}),
            'profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: "Random"',
        ),
        (
            document({"pluginConfig": [{"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 101}}]}),
            "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: not in valid range [0, 100]",
        ),
        (document(podInitialBackoffSeconds=0), "podInitialBackoffSeconds: must be greater than 0"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(document: Object, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        read(document)
    assert str(told.value) == complaint


@pytest.mark.parametrize(
    ("total", "percentage", "enough"),
    [(99, 0, 99), (100, 0, 100), (1000, 0, 420), (6000, 0, 300), (1000, 30, 300), (200, 10, 100), (5, 100, 5)],
)
def test_of_many_nodes_some_suffice(total: int, percentage: int, enough: int) -> None:
    assert enough_nodes(total, percentage) == enough
