"""A `KubeSchedulerConfiguration` (kubescheduler.config.k8s.io/v1) read into profiles of plugins.

What it can't do here is refused by name, never passed over: extenders, and arguments that no plugin knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from machinery.api.resource import Object
from machinery.api.selectors import LabelSelector
from machinery.structs import Struct, replace
from scheduler.framework import Plugin, Profile
from scheduler.plugins.pod_affinity import OF_REQUIRED, inter_pod_affinity
from scheduler.plugins.resources import Strategy, by_shape, least_allocated, most_allocated, resources_fit
from scheduler.plugins.spread import topology_spread
from scheduler.pod_terms import SYSTEM_DEFAULTS, SpreadConstraint
from scheduler.profile import DEFAULT

API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"

# Parts of the loop itself: they can be named, and are always on.
_BUILT_IN = frozenset(("PrioritySort", "SchedulingGates", "DefaultBinder"))
# Upstream's that have nothing to do here: no CSI drivers, no dynamic resources.
_ABSENT = frozenset(("NodeVolumeLimits", "DynamicResources", "NodeDeclaredFeatures", "GangScheduling"))
# Extension point -> the fields of a plugin that belong to it.
_POINTS: Mapping[str, tuple[str, ...]] = {
    "filter": ("filter",),
    "score": ("score",),
    "postFilter": ("post_filter",),
    "reserve": ("reserve",),
    "permit": ("permit",),
}


class ConfigurationError(ValueError):
    """What is wrong, with its place in the file."""


class Configuration(Struct, frozen=True):
    """Back-offs are in seconds."""

    profiles: tuple[Profile, ...] = (DEFAULT,)
    initial_backoff: float = 1.0
    max_backoff: float = 10.0


def read(document: Object) -> Configuration:
    """Raises ConfigurationError."""
    if document.get("kind") != KIND or document.get("apiVersion") != API_VERSION:
        raise ConfigurationError(f"it must be a {KIND} of {API_VERSION}")
    if document.get("extenders"):
        raise ConfigurationError("extenders: are not supported")
    whole = document.get("percentageOfNodesToScore") or 0
    profiles = tuple(
        _profile(each, f"profiles[{at}]", whole) for at, each in enumerate(document.get("profiles") or [{}])
    )
    names = [profile.name for profile in profiles]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise ConfigurationError(f'profiles: Duplicate value: "{doubled}"')
    first, most = document.get("podInitialBackoffSeconds", 1), document.get("podMaxBackoffSeconds", 10)
    if first <= 0:
        raise ConfigurationError("podInitialBackoffSeconds: must be greater than 0")
    if most < first:
        raise ConfigurationError("podMaxBackoffSeconds: must be greater than or equal to PodInitialBackoffSeconds")
    return Configuration(profiles, float(first), float(most))


def _profile(document: Object, place: str, percentage: int) -> Profile:
    plugins = {plugin.name: plugin for plugin in DEFAULT.plugins}
    weights = dict(DEFAULT.weights)
    for at, entry in enumerate(document.get("pluginConfig") or []):
        name = entry.get("name", "")
        where = f"{place}.pluginConfig[{at}]"
        _known(name, plugins, where)
        if entry.get("args"):
            made = _ARGUMENTS.get(name)
            if made is None:
                raise ConfigurationError(f"{where}.args: {name} takes none here")
            plugins[name] = made(entry["args"], f"{where}.args")
    for point, entry in (document.get("plugins") or {}).items():
        _apply(point, entry, plugins, weights, f"{place}.plugins.{point}")
    return Profile(
        document.get("schedulerName") or DEFAULT.name,
        tuple(plugins.values()),
        tuple(weights.items()),
        document.get("percentageOfNodesToScore") or percentage,
    )


def _apply(point: str, said: Object, plugins: dict[str, Plugin], weights: dict[str, int], place: str) -> None:
    """Takes out what is disabled, then puts in what is enabled, at the end: upstream's order."""
    if point != "multiPoint" and point not in _POINTS:
        raise ConfigurationError(f"{place}: plugins are switched by multiPoint, {', '.join(_POINTS)} here")
    before = dict(plugins)
    for entry in said.get("disabled") or []:
        for name in list(plugins) if entry["name"] == "*" else [entry["name"]]:
            _known(name, before, place)
            if name in plugins:
                _disable(point, name, plugins)
    for entry in said.get("enabled") or []:
        name = entry["name"]
        _known(name, before, place)
        if name not in before:
            continue
        _enable(point, before[name], plugins)
        if entry.get("weight"):
            weights[name] = int(entry["weight"])


def _disable(point: str, name: str, plugins: dict[str, Plugin]) -> None:
    if point == "multiPoint":
        del plugins[name]
    else:
        plugins[name] = replace(plugins[name], **dict.fromkeys(_POINTS[point]))


def _enable(point: str, whole: Plugin, plugins: dict[str, Plugin]) -> None:
    if point == "multiPoint":
        plugins.setdefault(whole.name, whole)
        return
    part = {field: getattr(whole, field) for field in _POINTS[point]}
    there = plugins.get(whole.name, replace(whole, filter=None, score=None, post_filter=None, reserve=None))
    plugins[whole.name] = replace(there, **part)


def _known(name: str, plugins: Mapping[str, Plugin], place: str) -> None:
    if name not in plugins and name not in _BUILT_IN | _ABSENT:
        raise ConfigurationError(f'{place}: plugin "{name}" does not exist')


def _fit(arguments: Object, place: str) -> Plugin:
    said = arguments.get("scoringStrategy") or {}
    weights = tuple((each["name"], int(each.get("weight") or 1)) for each in said.get("resources") or [])
    weights = weights or Strategy(least_allocated).weights
    ignored = frozenset(arguments.get("ignoredResources") or ())
    kind = said.get("type") or "LeastAllocated"
    if kind == "LeastAllocated":
        return resources_fit(Strategy(least_allocated, weights), ignored)
    if kind == "MostAllocated":
        return resources_fit(Strategy(most_allocated, weights), ignored)
    if kind != "RequestedToCapacityRatio":
        raise ConfigurationError(f'{place}.scoringStrategy.type: Unsupported value: "{kind}"')
    shape = tuple(
        (int(each["utilization"]), int(each["score"]))
        for each in (said.get("requestedToCapacityRatio") or {}).get("shape") or []
    )
    places = [at for at, _ in shape]
    if not shape or places != sorted(set(places)):
        where = f"{place}.scoringStrategy.requestedToCapacityRatio.shape"
        raise ConfigurationError(f"{where}: utilization values must be sorted in increasing order")
    return resources_fit(Strategy(partial(by_shape, shape), weights), ignored)


def _affinity(arguments: Object, place: str) -> Plugin:
    weight = arguments.get("hardPodAffinityWeight", OF_REQUIRED)
    if not 0 <= weight <= 100:
        raise ConfigurationError(f"{place}.hardPodAffinityWeight: not in valid range [0, 100]")
    return inter_pod_affinity(weight)


def _spread(arguments: Object, place: str) -> Plugin:
    said = arguments.get("defaultConstraints") or []
    if (arguments.get("defaultingType") or "System") == "System":
        if said:
            raise ConfigurationError(f"{place}.defaultConstraints: are for defaultingType List alone")
        return topology_spread(SYSTEM_DEFAULTS)
    if any(each.get("whenUnsatisfiable") != "ScheduleAnyway" for each in said):
        raise ConfigurationError(f"{place}.defaultConstraints: only ScheduleAnyway is supported")
    return topology_spread(
        tuple(SpreadConstraint(LabelSelector(), each["topologyKey"], int(each["maxSkew"])) for each in said)
    )


_ARGUMENTS: Mapping[str, Callable[[Object, str], Plugin]] = {
    "NodeResourcesFit": _fit,
    "InterPodAffinity": _affinity,
    "PodTopologySpread": _spread,
}
