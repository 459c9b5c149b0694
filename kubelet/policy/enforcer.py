"""Keeps the instance's table of NetworkPolicies as the cluster asks, and lets no pod begin before its own hold.

A pod's address is known once it has a sandbox, and nothing of it runs before its first container starts: in between
the kubelet waits here. The table outlives the process; a start makes it anew in one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubelet import podspec
from kubelet.following import follow
from kubelet.nftables import Ruleset, changed
from kubelet.policy.policies import names_resident, policy, residents
from kubelet.policy.ruleset import created, ruleset
from machinery.api.resource import Object
from machinery.api.resources import NAMESPACES, NETWORK_POLICIES, PODS, SERVICES
from machinery.api.views import Pod
from machinery.client.cache import Cache, Change
from machinery.client.clock import Clock
from machinery.linux import nft

_NAMES = ("kube-system", "kube-dns")


@dataclass(frozen=True)
class _Observed:
    """What the table follows from; without policies nothing else matters."""

    policies: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    namespaces: Sequence[Object] = ()
    names: Object | None = None
    held: Mapping[str, tuple[Object, str]] = field(default_factory=dict)

    def wanted(self) -> Ruleset:
        dns = names_resident(self.names, self.namespaces) if self.names is not None else None
        policies = sorted(map(policy, self.policies), key=lambda each: each.key)
        return ruleset(policies, residents(self.pods, self.namespaces, self.held), dns)


def _bring(table: str, before: Ruleset | None, observed: _Observed) -> Ruleset:
    """What the kernel's table now is. Blocks, and takes a while where there are many policies."""
    after = observed.wanted()
    commands = created(table, after) if before is None else changed(table, before, after)
    if commands:
        nft.run(commands)
    return after


class Enforcer:
    """`table` is the instance's own."""

    def __init__(self, table: str, cache: Cache, clock: Clock) -> None:
        self._table, self._cache, self._clock = table, cache, clock
        self._applied: Ruleset | None = None
        self._held: dict[str, tuple[Object, str]] = {}
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Follows until cancelled."""
        followed = (NETWORK_POLICIES, PODS, NAMESPACES, SERVICES)
        await follow("policy", self._cache, followed, self._clock, self._sync, self._concerns)

    async def hold(self, pod: Object, ip: str) -> None:
        """Returns once the policies hold for the pod at this address; raises NftError where the kernel refuses them.

        They are about IPv4 alone, and the host's network is the node's own.
        """
        known = self._held.get(podspec.uid(pod))
        if podspec.is_host_network(pod) or ":" in ip or (known is not None and known[1] == ip):
            return
        self._held.pop(podspec.uid(pod), None)
        self._held[podspec.uid(pod)] = (pod, ip)
        try:
            await self._sync()
        except nft.NftError:
            del self._held[podspec.uid(pod)]
            raise

    def release(self, pod: Object) -> None:
        """Nothing of the pod runs any more, whether or not the API still has it."""
        self._held.pop(podspec.uid(pod), None)

    def _concerns(self, change: Change) -> bool:
        if change.resource == SERVICES:
            return (change.object["metadata"]["namespace"], change.object["metadata"]["name"]) == _NAMES
        if change.resource != PODS:
            return True
        return _facts(change.before) != _facts(change.after)

    async def _sync(self) -> None:
        async with self._lock:
            # A transaction that fails leaves nothing, so the next makes all of it.
            before, self._applied = self._applied, None
            self._applied = await asyncio.to_thread(_bring, self._table, before, self._observe())

    def _observe(self) -> _Observed:
        policies = self._cache.list(NETWORK_POLICIES)
        if not policies:
            return _Observed()
        names = self._cache.get(SERVICES, *_NAMES)
        pods, namespaces = self._cache.list(PODS), self._cache.list(NAMESPACES)
        return _Observed(policies, pods, namespaces, names, self._newest_held())

    def _newest_held(self) -> dict[str, tuple[Object, str]]:
        """Those that are held, with the labels that the API now says they have."""
        return {uid: (self._newest(uid, pod), ip) for uid, (pod, ip) in self._held.items()}

    def _newest(self, uid: str, pod: Object) -> Object:
        found = self._cache.get(PODS, podspec.namespace(pod), podspec.name(pod))
        return found if found is not None and uid in (podspec.uid(found), podspec.mirrored_uid(found)) else pod


def _facts(pod: Object | None) -> tuple[object, ...]:
    """What of a pod a rule is made from."""
    if pod is None:
        return ()
    view = Pod(pod)
    return view.labels, view.pod_ips, view.is_finished


def tear_down(table: str) -> None:
    """Takes the table away; nothing where there is none. Blocks."""
    nft.remove_table(table)
