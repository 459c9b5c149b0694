"""The kubelets of simulated nodes, all in one: a controller that carries stages out on those nodes and their pods.

Of an object it remembers only since when it is as it is, and only while a stage waits; what else it knows (which nodes
are played, which addresses are taken) it hears again after a start.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence

from controllers.plan import Controller, Key, key_of
from controllers.runner import Runner
from machinery.api.resource import Object, Resource
from machinery.api.resources import CONFIG_MAPS, NODES, PODS
from machinery.api.views import Node, Pod, View
from machinery.client.cache import Cache, Change
from machinery.client.client import Client
from machinery.client.clock import Clock
from minikube_py.simulation.addresses import Addresses, PodAddresses
from minikube_py.simulation.fleet import NODE_ADDRESSES, POD_ADDRESSES, REST, is_simulated
from minikube_py.simulation.leases import SIMULATED_LEASES
from minikube_py.simulation.stage_book import StageBook
from minikube_py.simulation.stages import Moment, Stage, State, plan

AT_ONCE = 32


async def run(client: Client, cache: Cache, clock: Clock) -> None:
    """Plays the nodes that are marked so until cancelled; costs nothing where there are none."""
    kubelets = Runner(simulated_kubelets(clock), client, cache, clock)
    leases = Runner(SIMULATED_LEASES, client, cache, clock)
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(kubelets.work())
            # Side by side, too: a renewal that waits for others' writes must not make a thousand nodes late.
            group.create_task(leases.work())


def simulated_kubelets(clock: Clock, draw: Callable[[], float] = random.random) -> Controller:
    """`draw` gives numbers in [0, 1), for what stages leave to chance."""
    kubelets = _Kubelets(clock, draw)
    return Controller(
        "simulated-kubelet",
        wakes={NODES: kubelets.of_node, PODS: kubelets.of_pod, CONFIG_MAPS: lambda obj: ()},
        related=kubelets.around,
        observe=kubelets.observe,
        plan=plan,
        component="kubelet",
    )


class _Kubelets:
    def __init__(self, clock: Clock, draw: Callable[[], float]) -> None:
        self._clock = clock
        self._draw = draw
        self._nodes: set[str] = set()
        self._moments: dict[str, tuple[str, Moment]] = {}
        self._node_addresses = Addresses(NODE_ADDRESSES)
        self._pod_addresses = PodAddresses(POD_ADDRESSES, REST)
        self._book = StageBook()
        self._started = clock.now()

    def of_node(self, obj: Object) -> Iterable[Key]:
        node = Node(obj)
        if not is_simulated(obj):
            return ()
        self._nodes.add(node.name)
        for address in node.addresses:
            if address["type"] == "InternalIP":
                self._node_addresses.note(node.uid, address["address"])
        return (key_of(obj)._replace(resource=NODES),)

    def of_pod(self, obj: Object) -> Iterable[Key]:
        pod = Pod(obj)
        if pod.node_name not in self._nodes:
            return ()
        if pod.pod_ips and not pod.host_network:
            self._pod_addresses.note(pod.uid, pod.pod_ips[0]["ip"])
        return (key_of(obj)._replace(resource=PODS),)

    def around(self, cache: Cache, change: Change) -> Iterable[Key]:
        """What else a change concerns: the pods of a node that comes or goes, everything when the stages change."""
        name = View(change.object).name
        if change.resource == NODES and name in self._nodes:
            if change.after is None or not is_simulated(change.after):
                self._nodes.discard(name)
                self._forget(change.object)
            elif change.before is None or not is_simulated(change.before):
                # Pods may be seen before their node is.
                return [key for pod in cache.on_node(name) for key in self.of_pod(pod)]
        elif change.resource == PODS and change.after is None:
            self._forget(change.object)
        elif change.resource == CONFIG_MAPS and self._book.read(change):
            nodes = [Key("", each, NODES) for each in self._nodes]
            return [*nodes, *(key for each in self._nodes for pod in cache.on_node(each) for key in self.of_pod(pod))]
        return ()

    def _forget(self, obj: Object) -> None:
        uid = View(obj).uid
        self._node_addresses.release(uid)
        self._pod_addresses.release(uid)
        self._moments.pop(uid, None)

    def observe(self, cache: Cache, key: Key) -> State | None:
        assert key.resource is not None
        found = cache.get(key.resource, key.namespace, key.name)
        if found is None or not self._is_mine(key.resource, found):
            return None
        matching = [stage for stage in self._book.stages(key.resource.kind) if stage.matches(found)]
        if not matching:
            return None
        node = found if key.resource == NODES else cache.get(NODES, "", Pod(found).node_name)
        assert node is not None
        pod_address = ""
        if key.resource == PODS:
            pod_address = self._pod_addresses.of(View(found).uid, (node.get("spec") or {}).get("podCIDR") or "")
        moment, node_address = self._moment(found, matching), self._address_of(node)
        return State(found, matching, moment, node_address, pod_address, self._started)

    def _is_mine(self, resource: Resource, obj: Object) -> bool:
        return (View(obj).name if resource == NODES else Pod(obj).node_name) in self._nodes

    def _address_of(self, node: Object) -> str:
        said = (each["address"] for each in Node(node).addresses if each["type"] == "InternalIP")
        return next(said, "") or self._node_addresses.of(View(node).uid)

    def _moment(self, obj: Object, matching: Sequence[Stage]) -> Moment:
        """The one that was noted when the object was first seen as it is; a change begins another."""
        now = self._clock.now()
        if len(matching) == 1 and not matching[0].has_delay:
            return Moment(now)
        view = View(obj)
        noted = self._moments.get(view.uid)
        if noted is None or noted[0] != view.resource_version:
            noted = self._moments[view.uid] = view.resource_version, Moment(now, self._draw(), self._draw())
        return noted[1]
