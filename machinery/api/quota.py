"""ResourceQuotas: what an object uses of which quota. Pure; admission refuses and the controller tells by the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from machinery.api.pod_resources import Amounts, amounts, plus, pod_total
from machinery.api.quantity import ZERO, Quantity, from_integer, of
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    RESOURCES,
    SECRETS,
    SERVICES,
)
from machinery.api.selectors import stored_selector
from machinery.api.views import Pod, View, field
from machinery.api.volumes import PersistentVolumeClaim

_ONE = from_integer(1)
_PER_CLASS = ".storageclass.storage.k8s.io/"
_COUNTED_PLAINLY = (CONFIG_MAPS, REPLICATION_CONTROLLERS, RESOURCE_QUOTAS, SECRETS)
"""Of these a quota may be named without `count/`, as before there was that."""
_NATIVE = ("cpu", "memory", "ephemeral-storage")
_DEMANDED = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
"""Where a quota is of one of these, each container has to say how much it wants of it."""


class ResourceQuota(View):
    hard: field[dict[str, str]] = field("spec.hard", {})
    scopes: field[list[str]] = field("spec.scopes", [])
    scope_terms: field[list[Object]] = field("spec.scopeSelector.matchExpressions", [])

    @property
    def all_scopes(self) -> Sequence[Object]:
        return [*({"scopeName": name, "operator": "Exists"} for name in self.scopes), *self.scope_terms]


def counted() -> tuple[Resource, ...]:
    """Whatever a quota can be about."""
    return tuple(row for row in RESOURCES if row.namespaced and row.is_stored and row.stored_as is None)


@cache
def _by_count() -> Mapping[str, Resource]:
    return {f"count/{row.qualified}": row for row in counted()}


def subject(name: str) -> Resource | None:
    """The resource whose objects use the quota of that name, as `requests.cpu`; None where nothing does."""
    if name in ("persistentvolumeclaims", "requests.storage") or _PER_CLASS in name:
        return PERSISTENT_VOLUME_CLAIMS
    if name == "services" or name.startswith("services."):
        return SERVICES
    if name == "pods" or name in _NATIVE or name.startswith(("requests.", "limits.", "hugepages-")):
        return PODS
    plain = next((row for row in _COUNTED_PLAINLY if row.plural == name), None)
    return plain or _by_count().get(name)


def names_about(quota: ResourceQuota, row: Resource) -> list[str]:
    """The names in the quota that the resource's objects use."""
    return [name for name in quota.hard if subject(name) == row]


def usage(row: Resource, obj: Object) -> Amounts:
    """What the object uses, by the names that quotas have for it."""
    used = {f"count/{row.qualified}": _ONE}
    if row in _COUNTED_PLAINLY:
        used[row.plural] = _ONE
    more = _USAGES.get(row)
    return {**used, **more(obj)} if more else used


def _of_pod(obj: Object) -> Amounts:
    pod = Pod(obj)
    if pod.is_finished:
        # It is still an object, but takes nothing of a node any more.
        return {}
    return {"pods": _ONE, **_by_quota_names(pod_total(pod, "requests"), pod_total(pod, "limits"))}


def _by_quota_names(requests: Amounts, limits: Amounts) -> Amounts:
    used: Amounts = {}
    for name, amount in requests.items():
        used[f"requests.{name}"] = amount
        if name in _NATIVE or name.startswith("hugepages-"):
            used[name] = amount
    return used | {f"limits.{name}": amount for name, amount in limits.items() if name in _NATIVE}


def _of_service(obj: Object) -> Amounts:
    spec = obj.get("spec") or {}
    kind, ports = spec.get("type") or "ClusterIP", spec.get("ports") or ()
    used = {"services": _ONE}
    if kind == "LoadBalancer":
        used["services.loadbalancers"] = _ONE
        if spec.get("allocateLoadBalancerNodePorts") is False:
            ports = [port for port in ports if port.get("nodePort")]
    if kind in ("NodePort", "LoadBalancer"):
        used["services.nodeports"] = from_integer(len(ports))
    return used


def _of_claim(obj: Object) -> Amounts:
    claim = PersistentVolumeClaim(obj)
    used = {"persistentvolumeclaims": _ONE}
    asked = ((obj["spec"].get("resources") or {}).get("requests") or {}).get("storage")
    if asked is not None:
        used["requests.storage"] = of(asked)
    if claim.storage_class:
        used |= {f"{claim.storage_class}{_PER_CLASS}{name}": amount for name, amount in used.items()}
    return used


_USAGES: Mapping[Resource, Callable[[Object], Amounts]] = {
    PODS: _of_pod,
    SERVICES: _of_service,
    PERSISTENT_VOLUME_CLAIMS: _of_claim,
}


def covers(quota: ResourceQuota, row: Resource, obj: Object) -> bool:
    """Whether the object is within all scopes of the quota; only pods and claims can be within any."""
    return all(_is_within(term, row, obj) for term in quota.all_scopes)


def _is_within(term: Object, row: Resource, obj: Object) -> bool:
    name = term["scopeName"]
    if row == PERSISTENT_VOLUME_CLAIMS and name == "VolumeAttributesClass":
        return _is_named(term, obj["spec"].get("volumeAttributesClassName") or "")
    if row != PODS:
        return False
    pod = Pod(obj)
    match name:
        case "Terminating" | "NotTerminating":
            return (pod.obj["spec"].get("activeDeadlineSeconds") is not None) is (name == "Terminating")
        case "BestEffort" | "NotBestEffort":
            return _is_best_effort(pod) is (name == "BestEffort")
        case "PriorityClass":
            return _is_named(term, pod.obj["spec"].get("priorityClassName") or "")
        case "CrossNamespacePodAffinity":
            return _reaches_other_namespaces(pod)
        case _:
            return False


def _is_named(term: Object, name: str) -> bool:
    expression = {"key": "name", "operator": term["operator"], "values": term.get("values")}
    return stored_selector({"matchExpressions": [expression]}).matches({"name": name} if name else {})


def _is_best_effort(pod: Pod) -> bool:
    parts = (pod.obj["spec"], *pod.containers, *pod.init_containers)
    return not any(amounts(part, field).get(name) for part in parts for field in ("requests", "limits") for name in ("cpu", "memory"))  # fmt: skip # noqa: E501


def _reaches_other_namespaces(pod: Pod) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        part = pod.affinity.get(kind) or {}
        terms = [
            *(part.get("requiredDuringSchedulingIgnoredDuringExecution") or ()),
            *(
                each.get("podAffinityTerm") or {}
                for each in part.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
            ),
        ]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


def total(quota: ResourceQuota, row: Resource, objects: Iterable[Object]) -> Amounts:
    """What all these objects of the resource use of the quota."""
    names = names_about(quota, row)
    used: Amounts = dict.fromkeys(names, ZERO)
    for obj in objects:
        used = plus(used, share(quota, row, obj))
    return {name: used[name] for name in names}


def share(quota: ResourceQuota, row: Resource, obj: Object) -> Amounts:
    """What one object uses of the quota."""
    if not covers(quota, row, obj):
        return {}
    used = usage(row, obj)
    return {name: used[name] for name in names_about(quota, row) if name in used}


def unsaid(quota: ResourceQuota, obj: Object) -> str:
    """What containers of a pod would have to say for the quota to count it, in upstream's words; "" if all do."""
    demanded = sorted(set(quota.hard).intersection(_DEMANDED))
    pod = Pod(obj)
    if not demanded or pod.obj["spec"].get("resources"):
        said = _said(pod.obj["spec"])
        demanded = [name for name in demanded if name not in said]
        if not demanded:
            return ""
    missing: dict[str, list[str]] = {}
    for container in (*pod.containers, *pod.init_containers):
        said = _said(container)
        for name in demanded:
            if name not in said:
                missing.setdefault(name, []).append(container["name"])
    return "; ".join(f"{name} for: {','.join(sorted(names))}" for name, names in sorted(missing.items()))


def _said(part: Object) -> set[str]:
    return set(_by_quota_names(amounts(part, "requests"), amounts(part, "limits")))


def text(used: Mapping[str, Quantity]) -> str:
    """As quota errors show amounts."""
    return ",".join(f"{name}={used[name]}" for name in sorted(used))
