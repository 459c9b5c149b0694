"""Who may reach a pod's port as its NetworkPolicies have it, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kubelet.policy.policies import Block, Policy, Resident, Rule, Selected
from machinery.api.selectors import LabelSelector
from machinery.structs import Struct


class Guard(Struct, frozen=True):
    """The policies that isolate a pod, and whom they let reach one of its ports; everyone where `is_open`."""

    policies: tuple[Policy, ...]
    lets: tuple[str, ...]
    is_open: bool

    def said(self, what: str) -> str:
        """`NetworkPolicy d/shut keeps everyone from port 80/tcp of web-1`."""
        names = ", ".join(policy.key for policy in self.policies)
        who = f"NetworkPolicies {names} keep" if len(self.policies) > 1 else f"NetworkPolicy {names} keeps"
        return f"{who} everyone{' but ' if self.lets else ''}{', '.join(self.lets)} from {what}"


def guard(policies: Iterable[Policy], pod: Resident, protocol: str, number: int) -> Guard | None:
    """What stands before the pod's port; None where no policy is about what comes in."""
    isolating = tuple(policy for policy in policies if policy.ingress is not None and policy.selects(pod))
    if not isolating:
        return None
    rules = [
        (rule, policy)
        for policy in isolating
        for rule in policy.ingress or ()
        if not rule.ports or any(ports.hold(protocol, number, pod) for ports in rule.ports)
    ]
    lets = dict.fromkeys(whom for rule, policy in rules for whom in _whom(rule, policy))
    return Guard(isolating, tuple(lets), any(not rule.peers for rule, _ in rules))


def _whom(rule: Rule, policy: Policy) -> Iterator[str]:
    for peer in rule.peers:
        yield _addresses(peer) if isinstance(peer, Block) else _pods(peer, policy.namespace)


def _addresses(block: Block) -> str:
    but = f" but {', '.join(map(str, block.excepts))}" if block.excepts else ""
    return f"addresses of {block.network}{but}"


def _pods(selected: Selected, home: str) -> str:
    pods = "every pod" if selected.pods.empty else f"pods with {_labels(selected.pods)}"
    if selected.namespaces is None:
        return f"{pods} of namespace {home}"
    return pods if selected.namespaces.empty else f"{pods} of namespaces with {_labels(selected.namespaces)}"


def _labels(selector: LabelSelector) -> str:
    """As people write them, `app=web`, where the selector says no more than that."""
    return ",".join(
        f"{each.key}={each.values[0]}" if each.operator == "in" and len(each.values) == 1 else str(each)
        for each in selector.requirements
    )
