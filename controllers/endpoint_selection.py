"""Which Services a pod concerns, found without looking at all of them, and what may be among their endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_address

from controllers.plan import Key, key_of
from machinery.api.resource import Object
from machinery.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from machinery.api.views import SERVICE_NAME, EndpointSlice, Pod, Service, View
from machinery.client.cache import Cache, Change

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"


class ServiceIndex:
    """The Services by one label of their selectors; it is as far as the changes that it has seen."""

    def __init__(self) -> None:
        self._selectors: dict[Key, Mapping[str, str]] = {}
        self._filed: dict[Key, tuple[str, str, str]] = {}
        self._by_label: dict[tuple[str, str, str], set[Key]] = {}

    def see(self, change: Change) -> None:
        key = key_of(change.object)
        selector = Service(change.after).selector if change.after is not None else {}
        if self._selectors.get(key, {}) == selector:
            return
        self._drop(key)
        if not selector:
            return
        # What fewest others ask for tells most.
        labels = [(key.namespace, *label) for label in sorted(selector.items())]
        place = min(labels, key=lambda label: len(self._by_label.get(label, ())))
        self._selectors[key], self._filed[key] = selector, place
        self._by_label.setdefault(place, set()).add(key)

    def _drop(self, key: Key) -> None:
        if self._selectors.pop(key, None) is None:
            return
        place = self._filed.pop(key)
        self._by_label[place].discard(key)
        if not self._by_label[place]:
            del self._by_label[place]

    def selecting(self, pod: Pod) -> Iterator[Key]:
        """The Services whose selector matches."""
        labels = pod.labels
        for label in labels.items():
            for key in self._by_label.get((pod.namespace, *label), ()):
                if self._selectors[key].items() <= labels.items():
                    yield key

    def concerned(self, change: Change) -> set[Key]:
        """The Services whose endpoints a pod's change may change."""
        before = Pod(change.before) if change.before is not None else None
        after = Pod(change.after) if change.after is not None else None
        was = set(self.selecting(before)) if before is not None else set()
        if after is None or (before is not None and before.labels == after.labels):
            return was if after is None or before is None or _facts(before) != _facts(after) else set()
        now = set(self.selecting(after))
        if before is not None and _facts(before) == _facts(after):
            return was ^ now
        return was | now


def _facts(pod: Pod) -> tuple[object, ...]:
    """What endpoints tell of a pod, or depend on."""
    return (
        pod.uid, pod.pod_ips, pod.node_name, pod.hostname, pod.subdomain, pod.is_ready, pod.is_finished,
        bool(pod.deleted),
    )  # fmt: skip


def by_selection(index: ServiceIndex) -> Callable[[Cache, Change], Iterable[Key]]:
    """Whom pods and nodes concern; Services must be subscribed to before them."""

    def related(cache: Cache, change: Change) -> Iterable[Key]:
        if change.resource == SERVICES:
            index.see(change)
        elif change.resource == PODS:
            return index.concerned(change)
        elif change.resource == NODES and _zone(change.before) != _zone(change.after):
            pods = cache.on_node(change.object["metadata"]["name"])
            return {key for pod in pods for key in index.selecting(Pod(pod))}
        return ()

    return related


def _zone(node: Object | None) -> str | None:
    return None if node is None else View(node).labels.get(ZONE, "")


@lru_cache(maxsize=4096)
def address_family(ip: str) -> tuple[str, str]:
    """IPv4 or IPv6, and the address in its usual form; "" twice for what is no address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return "", ""
    return f"IPv{address.version}", str(address)


def has_endpoints(pod: Pod, *, terminating: bool) -> bool:
    """Whether the pod may be among endpoints; those being deleted only where `terminating` ones are."""
    return bool(pod.pod_ips) and not pod.is_finished and (terminating or not pod.deleted)


def slices_of(cache: Cache, key: Key, manager: str) -> tuple[EndpointSlice, ...]:
    """The slices of a Service that `manager` keeps and nobody has deleted yet."""
    found = map(EndpointSlice, cache.labelled(ENDPOINT_SLICES, key.namespace, SERVICE_NAME, key.name))
    return tuple(each for each in found if each.labels.get(MANAGED_BY) == manager and not each.deleted)


def service_of_slice(manager: str) -> Callable[[Object], Iterable[Key]]:
    """The Service of a slice that `manager` keeps."""

    def wake(obj: Object) -> Iterable[Key]:
        view = View(obj)
        if view.labels.get(MANAGED_BY) == manager and (name := view.labels.get(SERVICE_NAME)):
            yield Key(view.namespace, name)

    return wake
