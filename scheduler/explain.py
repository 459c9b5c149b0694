"""Why a pod waits: node by node every filter that refuses it, what would help, and whether others would make room."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from machinery.api.host_ports import conflict
from machinery.api.node_affinity import required_terms
from machinery.api.quantity import from_integer, from_milli
from machinery.api.resource import Object
from machinery.api.views import Pod
from machinery.structs import Struct, replace
from scheduler.cluster import Cluster
from scheduler.filtering import Check
from scheduler.framework import Outcome, Profile, Refusal
from scheduler.node_info import NodeInfo
from scheduler.plugins.taints import untolerated
from scheduler.pod_info import MILLI_CPU, PodInfo
from scheduler.profile import DEFAULT
from scheduler.schedule import post_filter, schedule
from scheduler.snapshot import Snapshot


class Verdict(Struct, frozen=True):
    """One filter's refusal, and what would change its mind."""

    plugin: str
    reasons: tuple[str, ...]
    helps: str


class Explanation(Struct, frozen=True):
    """`summary` first; `nodes` is empty where no node was looked at. A node without verdicts takes the pod."""

    summary: str
    nodes: Mapping[str, tuple[Verdict, ...]]
    helps: str = ""


def explain(obj: Object, cluster: Cluster, profiles: Sequence[Profile] = (DEFAULT,)) -> Explanation:
    """What an attempt would find now, were it made."""
    profile = next((each for each in profiles if each.name == Pod(obj).scheduler_name), None)
    settled = _settled(Pod(obj))
    if settled is not None:
        return settled
    if profile is None:
        said = f"it waits for the scheduler {Pod(obj).scheduler_name!r}, which is not part of this cluster"
        names = " or ".join(each.name for each in profiles)
        return Explanation(said, {}, f"run that scheduler, or make the pod with schedulerName {names}")
    pod = cluster.shapes.info(obj)
    snapshot = replace(cluster.snapshot(pod), budgets=cluster.budgets())
    decision = schedule(pod, snapshot, profile)
    if decision.node:
        nodes = {name: tuple(_verdicts(pod, info, snapshot, profile)) for name, info in snapshot.nodes.items()}
        return Explanation(f"it would go to node {decision.node} now", nodes)
    if decision.pod_refused is not None:
        return Explanation(decision.message, {}, _of_pod(decision.pod_refused))
    nodes = {name: tuple(_verdicts(pod, info, snapshot, profile)) for name, info in sorted(snapshot.nodes.items())}
    outcome = _end_of(post_filter(pod, snapshot, decision, profile))
    helps = ""
    if outcome.chosen is not None:
        victims = ", ".join(f"{each.key.namespace}/{each.key.name}" for each in outcome.chosen.victims)
        helps = f"less important pods make room on {outcome.chosen.node}: {victims}"
    return Explanation(outcome.message, nodes, helps)


def _end_of(steps: Generator[None, None, Outcome]) -> Outcome:
    try:
        while True:
            next(steps)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def _settled(pod: Pod) -> Explanation | None:
    """Where no filter has a say."""
    if pod.node_name:
        return Explanation(f"it is on node {pod.node_name}: no scheduler looks at it any more", {})
    if pod.deleted:
        return Explanation("it is being deleted", {})
    if gates := [gate["name"] for gate in pod.scheduling_gates]:
        named = ", ".join(gates)
        return Explanation(f"it is held back by scheduling gates: {named}", {}, f"whoever set them removes {named}")
    return None


def _verdicts(pod: PodInfo, info: NodeInfo, snapshot: Snapshot, profile: Profile) -> Iterator[Verdict]:
    """Of every filter, not only the first: what is told last would come up next."""
    check = Check.of(pod, snapshot, profile)
    if isinstance(check, Refusal):
        return
    for plugin, state in (*check.local, *check.others):
        assert plugin.filter is not None
        refusal = plugin.filter(state, pod, info)
        if refusal is not None:
            remedy = _REMEDIES.get(plugin.name)
            yield Verdict(plugin.name, refusal.reasons, remedy(pod, info) if remedy else "")


def _of_pod(refusal: Refusal) -> str:
    reason = refusal.reasons[0]
    if "unbound immediate" in reason:
        return "a volume for its claim: see the claim's events (kubectl describe pvc)"
    if reason.endswith("not found"):
        return "making the claim"
    return ""


def _uncordon(pod: PodInfo, info: NodeInfo) -> str:
    return f"kubectl uncordon {info.node.name}"


def _tolerate(pod: PodInfo, info: NodeInfo) -> str:
    taint = untolerated(pod, info.node)
    if taint is None:
        return ""
    value = f"={taint['value']}" if taint.get("value") else ""
    shown = f"{taint['key']}{value}:{taint['effect']}"
    return f"a toleration of {shown} in the pod, or kubectl taint nodes {info.node.name} {taint['key']}-"


def _label(pod: PodInfo, info: NodeInfo) -> str:
    wanted = pod.shape.example.node_selector.items() - info.node.labels.items()
    missing = " ".join(f"{key}={value}" for key, value in sorted(wanted))
    if missing:
        return f"kubectl label nodes {info.node.name} {missing}"
    return "a label on the node that the pod's nodeAffinity wants" if required_terms(pod.shape.example) else ""


def _make_room(pod: PodInfo, info: NodeInfo) -> str:
    said = []
    allocatable = info.node.allocatable
    if len(info.pods) + 1 > allocatable.get("pods", 0):
        said.append(f"it has its {allocatable.get('pods', 0)} pods")
    for name, wanted in pod.shape.requests.items():
        total, taken = allocatable.get(name, 0), info.requested.get(name, 0)
        if wanted > total - taken:
            asks, there, left = (_amount(name, value) for value in (wanted, total, total - taken))
            said.append(f"{name}: the pod asks for {asks}, {left} of {there} is free")
    return "; ".join(said)


def _amount(name: str, value: int) -> str:
    return str(from_milli(value) if name == MILLI_CPU else from_integer(value, "binary"))


def _free_port(pod: PodInfo, info: NodeInfo) -> str:
    holders = sorted(
        f"{other.key.namespace}/{other.key.name}"
        for other in info.pods.values()
        if any(conflict(wanted, taken) for wanted in pod.shape.ports for taken in other.shape.ports)
    )
    return f"another hostPort, or the end of {', '.join(holders)}"


def _spread(pod: PodInfo, info: NodeInfo) -> str:
    keys = [constraint.topology_key for constraint in pod.shape.hard_spread]
    missing = [key for key in keys if key not in info.node.labels]
    if missing:
        return f"kubectl label nodes {info.node.name} {' '.join(f'{key}=…' for key in missing)}"
    return f"room where fewer of these pods are (by {', '.join(keys)}), a larger maxSkew, or ScheduleAnyway"


def _apart(pod: PodInfo, info: NodeInfo) -> str:
    return "another node, or another place for the pods that this one wants, or that want it, near or away"


_REMEDIES: Mapping[str, Callable[[PodInfo, NodeInfo], str]] = {
    "NodeUnschedulable": _uncordon,
    "TaintToleration": _tolerate,
    "NodeAffinity": _label,
    "NodeResourcesFit": _make_room,
    "NodePorts": _free_port,
    "PodTopologySpread": _spread,
    "InterPodAffinity": _apart,
    "VolumeBinding": lambda pod, info: "a volume that this node reaches and that is what the claim asks for",
    "VolumeZone": lambda pod, info: "a node in the zone of the pod's volume",
    "VolumeRestrictions": lambda pod, info: "the end of the pod that uses the claim",
}
