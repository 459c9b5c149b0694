"""On small clusters the scheduler agrees with a plain reading of the rules, pod after pod, whatever it remembers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from machinery.api.resource import Object, Resource
from machinery.api.resources import NODES, PODS
from machinery.client.cache import Change
from machinery.structs import replace
from scheduler.cluster import Cluster
from scheduler.filtering import Check, feasible
from scheduler.memo import Memo
from scheduler.profile import DEFAULT
from scheduler.schedule import schedule, totals_of
from tests.unit.scheduler.builders import HOST, PREFERRED, REQUIRED, ZONE, away, near, node, pod, spread, term

Placed = list[tuple[Object, Object]]
"""(pod, its node)."""

APPS = st.sampled_from(["", "web", "db"])
KEYS = st.sampled_from([HOST, ZONE])
MILLI = st.sampled_from([0, 100, 500, 900])


@st.composite
def nodes(draw: st.DrawFn) -> list[Object]:
    found = []
    for name in "abcd"[: draw(st.integers(1, 4))]:
        effect = draw(st.sampled_from(["", "NoSchedule", "PreferNoSchedule"]))
        spec = {"taints": [{"key": "k", "effect": effect}]} if effect else {}
        zone, cpu = draw(st.sampled_from(["", "1", "2"])), draw(st.sampled_from(["1", "2"]))
        found.append(node(name, zone=zone, cpu=cpu, pods=draw(st.sampled_from(["2", "5"])), **spec))
    return found


@st.composite
def pods(draw: st.DrawFn) -> list[Object]:
    return [draw(one_pod(f"p{number}")) for number in range(draw(st.integers(1, 8)))]


def one_pod(name: str) -> st.SearchStrategy[Object]:
    @st.composite
    def made(draw: st.DrawFn) -> Object:
        spec: dict[str, Any] = {}
        app = draw(APPS)
        match draw(st.integers(0, 7)):
            case 0:
                spec["affinity"] = near(draw(APPS), draw(KEYS))
            case 1:
                spec["affinity"] = away(draw(APPS), draw(KEYS))
            case 2:
                spec["topologySpreadConstraints"] = [spread(app, draw(KEYS), minDomains=draw(st.integers(1, 3)))]
            case 3:
                spec["tolerations"] = [{"operator": "Exists"}]
            case 4:
                spec["nodeSelector"] = {ZONE: draw(st.sampled_from(["1", "2"]))}
            case 5:
                spec["port"] = draw(st.integers(1, 2))
            case 6:
                entry = {"weight": draw(st.integers(1, 100)), "podAffinityTerm": term(draw(APPS), draw(KEYS))}
                kind = draw(st.sampled_from(["podAffinity", "podAntiAffinity"]))
                spec["affinity"] = {kind: {PREFERRED: [entry]}}
        return pod(name, app=app, cpu=f"{draw(MILLI)}m", **spec)

    return made()


def labels(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def cpu(each: Object) -> int:
    return int(each["spec"]["containers"][0]["resources"].get("requests", {}).get("cpu", "0m")[:-1])


def terms(each: Object, kind: str) -> list[Object]:
    return ((each["spec"].get("affinity") or {}).get(kind) or {}).get(REQUIRED) or []


def is_meant(entry: Object, each: Object) -> bool:
    wanted = entry["labelSelector"]["matchLabels"]
    return bool(wanted.items() <= labels(each).items())


def together(key: str, one: Object, other: Object) -> bool:
    return key in labels(one) and labels(one)[key] == labels(other).get(key)


def has_room(wanted: Object, there: list[Object], on: Object) -> bool:
    allocatable = on["status"]["allocatable"]
    ports = {each["spec"]["containers"][0].get("ports", [{}])[0].get("hostPort") for each in there} - {None}
    own = wanted["spec"]["containers"][0].get("ports", [{}])[0].get("hostPort")
    return (
        len(there) < int(allocatable["pods"])
        and (not cpu(wanted) or sum(map(cpu, there)) + cpu(wanted) <= 1000 * int(allocatable["cpu"]))
        and own not in ports
    )


def is_allowed(wanted: Object, placed: Placed, on: Object, everywhere: list[Object]) -> bool:
    """What the API's documentation says, read plainly and slowly."""
    there = [each for each, where in placed if where is on]
    tolerates = bool(wanted["spec"].get("tolerations"))
    if not tolerates and any(taint["effect"] == "NoSchedule" for taint in on["spec"].get("taints") or []):
        return False
    if not (wanted["spec"].get("nodeSelector") or {}).items() <= labels(on).items():
        return False
    return (
        has_room(wanted, there, on)
        and is_near(wanted, placed, on)
        and not any(
            is_meant(entry, each) and together(entry["topologyKey"], where, on)
            for entry in terms(wanted, "podAntiAffinity")
            for each, where in placed
        )
        and not any(
            is_meant(entry, wanted) and together(entry["topologyKey"], where, on)
            for each, where in placed
            for entry in terms(each, "podAntiAffinity")
        )
        and all(is_even(rule, wanted, placed, on, everywhere) for rule in rules(wanted))
    )


def rules(wanted: Object) -> Iterable[Object]:
    return wanted["spec"].get("topologySpreadConstraints") or []


def is_near(wanted: Object, placed: Placed, on: Object) -> bool:
    for entry in terms(wanted, "podAffinity"):
        key = entry["topologyKey"]
        meant = [where for each, where in placed if is_meant(entry, each) and key in labels(where)]
        starts = not meant and is_meant(entry, wanted) and key in labels(on)
        if not starts and not any(together(key, where, on) for where in meant):
            return False
    return True


def is_even(rule: Object, wanted: Object, placed: Placed, on: Object, everywhere: list[Object]) -> bool:
    key = rule["topologyKey"]
    if key not in labels(on):
        return False
    selector = (wanted["spec"].get("nodeSelector") or {}).items()
    counts = {labels(each)[key]: 0 for each in everywhere if key in labels(each) and selector <= labels(each).items()}
    for each, where in placed:
        if is_meant(rule, each) and labels(where).get(key) in counts:
            counts[labels(where)[key]] += 1
    fewest = 0 if len(counts) < rule["minDomains"] else min(counts.values())
    return bool(counts[labels(on)[key]] + is_meant(rule, wanted) - fewest <= rule["maxSkew"])


def totals(wanted: Object, placed: Placed, fitting: list[Object]) -> list[int]:
    """Upstream's scores with its weights, each node by itself."""
    return [
        resources(wanted, placed, on)
        + 3 * normalized([soft_taints(wanted, each) for each in fitting], soft_taints(wanted, on), reverse=True)
        + 2 * stretched([liking(wanted, placed, each) for each in fitting], liking(wanted, placed, on))
        for on in fitting
    ]


def resources(wanted: Object, placed: Placed, on: Object) -> int:
    there = [each for each, where in placed if where is on]
    total, memory = 1000 * int(on["status"]["allocatable"]["cpu"]), 4 << 30
    assumed = sum(cpu(each) or _unsaid(each) for each in [*there, wanted])
    free = (total - assumed) * 100 // total if assumed <= total else 0
    least = (free + (memory - 200 * (1 << 20) * (len(there) + 1)) * 100 // memory) // 2
    if not cpu(wanted):
        return least
    share = min(sum(map(cpu, [*there, wanted])) / total, 1)
    return least + int((1 - share / 2) * 100)


def _unsaid(each: Object) -> int:
    return 0 if "cpu" in each["spec"]["containers"][0]["resources"].get("requests", {}) else 100


def soft_taints(wanted: Object, on: Object) -> int:
    if wanted["spec"].get("tolerations"):
        return 0
    return sum(taint["effect"] == "PreferNoSchedule" for taint in on["spec"].get("taints") or [])


def normalized(found: list[int], own: int, *, reverse: bool) -> int:
    points = 100 * own // max(found) if max(found) else 0
    return 100 - points if reverse else points


def liking(wanted: Object, placed: Placed, on: Object) -> int:
    points = 0
    for each, where in placed:
        for weight, entry in preferences(wanted):
            points += weight * (is_meant(entry, each) and together(entry["topologyKey"], where, on))
        for weight, entry in [*preferences(each), *((1, entry) for entry in terms(each, "podAffinity"))]:
            points += weight * (is_meant(entry, wanted) and together(entry["topologyKey"], where, on))
    return points


def preferences(each: Object) -> list[tuple[int, Object]]:
    affinity = each["spec"].get("affinity") or {}
    return [
        (sign * entry["weight"], entry["podAffinityTerm"])
        for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1))
        for entry in (affinity.get(kind) or {}).get(PREFERRED) or []
    ]


def stretched(found: list[int], own: int) -> int:
    most, least = max(0, *found, 0), min(0, *found, 0)
    return int(100 * ((own - least) / (most - least))) if most > least else 0


class Nothing:
    """A cluster without anything but nodes and pods."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return None

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return []


@settings(max_examples=150, deadline=None)
@given(nodes(), pods())
def test_it_takes_a_node_that_is_allowed_and_finds_one_if_there_is_any(
    there: list[Object], wanted: list[Object]
) -> None:
    cluster = Cluster(Nothing())
    placed: Placed = []
    for each in there:
        cluster.see(Change(NODES, None, each))
    for each in wanted:
        info = cluster.shapes.info(each)
        snapshot = cluster.snapshot(info)
        decision = schedule(info, snapshot)
        allowed = {on["metadata"]["name"] for on in there if is_allowed(each, placed, on, there)}
        assert set(decision.refused) == {on["metadata"]["name"] for on in there} - allowed
        assert decision.node in (allowed or {""})
        forgetful = replace(snapshot, memo=Memo())
        assert schedule(info, forgetful) == decision
        if allowed:
            assert points(info, snapshot) == points(info, forgetful)
            fitting = [on for on in there if on["metadata"]["name"] in allowed]
            assert differences(points(info, snapshot)) == differences(totals(each, placed, fitting))
            on = next(on for on in there if on["metadata"]["name"] == decision.node)
            placed.append((each, on))
            bound = {**each, "spec": {**each["spec"], "nodeName": decision.node}}
            cluster.see(Change(PODS, each, bound))


def points(info: Any, snapshot: Any) -> list[int]:
    check = Check.of(info, snapshot, DEFAULT)
    assert isinstance(check, Check)
    fit, _ = feasible(check, snapshot, DEFAULT)
    return totals_of(info, snapshot, DEFAULT, fit)


def differences(found: list[int]) -> list[int]:
    """Only these decide: what all nodes get alike may be left out."""
    return [each - found[0] for each in found]
