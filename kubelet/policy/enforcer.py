"""Keeps the instance's tables of NetworkPolicies as the cluster asks, and lets no pod begin before its own hold.

A pod's addresses are known once it has a sandbox, and nothing of it runs before its first container starts: in between
the kubelet waits here. The tables outlive the process; a start makes them anew in one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

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
from machinery.ip_families import IPV4, Family, family_of
from machinery.linux import nft
from machinery.structs import Struct, field

_NAMES = ("kube-system", "kube-dns")

Held = Mapping[str, tuple[Object, Sequence[str]]]
"""Uid -> a pod that may begin, and its addresses."""
Tables = Mapping[Family, Ruleset]


class _Observed(Struct, frozen=True):
    """What the table follows from; without policies nothing else matters."""

    policies: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    namespaces: Sequence[Object] = ()
    names: Object | None = None
    held: Held = field(default_factory=dict)

    def wanted(self, families: Sequence[Family]) -> Tables:
        dns = names_resident(self.names, self.namespaces) if self.names is not None else None
        policies = sorted(map(policy, self.policies), key=lambda each: each.key)
        everyone = residents(self.pods, self.namespaces, self.held)
        return {family: ruleset(policies, everyone, dns, family) for family in families}


def _bring(name: str, families: Sequence[Family], before: Tables, observed: _Observed) -> Tables:
    """What the kernel's tables now are. Blocks, and takes a while where there are many policies."""
    after = observed.wanted(families)
    commands = "".join(
        changed(family.table(name), before[family], each) if family in before else created(name, each, family)
        for family, each in after.items()
    )
    if commands:
        nft.run(commands)
    return after


class Enforcer:
    """`table` is the instance's own; `families` are those of the pods' addresses."""

    def __init__(self, table: str, cache: Cache, clock: Clock, families: Sequence[Family] = (IPV4,)) -> None:
        self._table, self._cache, self._clock, self._families = table, cache, clock, families
        self._applied: Tables = {}
        self._held: dict[str, tuple[Object, tuple[str, ...]]] = {}
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Follows until cancelled."""
        followed = (NETWORK_POLICIES, PODS, NAMESPACES, SERVICES)
        await follow("policy", self._cache, followed, self._clock, self._sync, self._concerns)

    async def hold(self, pod: Object, ips: Sequence[str]) -> None:
        """Returns once the policies hold for the pod at these addresses; raises NftError where the kernel refuses them.

        Addresses of a family that pods don't have here are nobody's, and the host's network is the node's own.
        """
        known, own = self._held.get(podspec.uid(pod)), tuple(ip for ip in ips if family_of(ip) in self._families)
        if podspec.is_host_network(pod) or not own or (known is not None and known[1] == own):
            return
        self._held.pop(podspec.uid(pod), None)
        self._held[podspec.uid(pod)] = (pod, own)
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
            before, self._applied = self._applied, {}
            observed = self._observe()
            self._applied = await asyncio.to_thread(_bring, self._table, self._families, before, observed)

    def _observe(self) -> _Observed:
        policies = self._cache.list(NETWORK_POLICIES)
        if not policies:
            return _Observed()
        names = self._cache.get(SERVICES, *_NAMES)
        pods, namespaces = self._cache.list(PODS), self._cache.list(NAMESPACES)
        return _Observed(policies, pods, namespaces, names, self._newest_held())

    def _newest_held(self) -> Held:
        """Those that are held, with the labels that the API now says they have."""
        return {uid: (self._newest(uid, pod), ips) for uid, (pod, ips) in self._held.items()}

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
    """Takes the tables away; nothing where there are none. Blocks."""
    nft.remove_tables(table)
