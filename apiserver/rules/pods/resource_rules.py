"""What upstream refuses in the resources of containers and pods (core/v1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from apiserver.rules.field_errors import (
    all_of,
    choice,
    duplicate,
    forbidden,
    invalid_value,
    missing,
    not_supported,
    required,
)
from machinery.api import names, quantity
from machinery.api.errors import Cause
from machinery.api.pod_resources import containers_total
from machinery.api.quantity import ZERO, Quantity
from machinery.api.resource import Object

_PAGES = "hugepages-"
_COMPUTE = ("cpu", "memory")
_PLAIN = (*_COMPUTE, "ephemeral-storage")
_COUNTED = {
    "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services",
    "services.loadbalancers", "services.nodeports",
}  # fmt: skip
_STANDARD = {
    *_PLAIN, *_COUNTED, "storage", "requests.storage",
    *(f"{tier}.{name}" for tier in ("requests", "limits") for name in _PLAIN),
}  # fmt: skip
"""Names that need no domain: of compute resources, and those that only quotas know."""
_OF_PODS = ("cpu", _PAGES, "memory")

NameRule = Callable[[str, str], Iterator[Cause]]


def resource_errors(resources: Object, path: str, claims: frozenset[str] | None = None) -> Iterator[Cause]:
    """What is wrong with a container's requests, limits and claims; `claims` are the names that its pod has."""
    yield from _amounts_errors(resources, path, container_resource_name, _PLAIN)
    if wanted := resources.get("claims"):
        yield from _claim_errors(wanted, f"{path}.claims", claims or frozenset())


def _amounts_errors(resources: Object, path: str, name_errors: NameRule, plain: tuple[str, ...]) -> Iterator[Cause]:
    """`plain` are the names of which nothing is to be said but whether there's too little."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, value in limits.items():
        if name not in plain or not _is_amount(value):
            yield from _amount_errors(name, value, f"{path}.limits[{name}]", name_errors)
    for name, value in requests.items():
        if name not in plain or not _is_amount(value):
            yield from _amount_errors(name, value, f"{path}.requests[{name}]", name_errors)
        if name not in _PLAIN or limits.get(name, value) != value:
            yield from _overcommit_errors(name, value, limits, path)
    if "cpu" in limits or "memory" in limits or "cpu" in requests or "memory" in requests:
        return
    if any(name.startswith(_PAGES) for name in (*limits, *requests)):
        yield forbidden(path, "HugePages require cpu or memory")


@lru_cache(maxsize=4096)
def _is_amount(value: str | int) -> bool:
    return quantity.of(value) >= ZERO


def _amount_errors(name: str, value: Any, path: str, name_errors: NameRule) -> Iterator[Cause]:
    amount = quantity.of(value)
    yield from name_errors(name, path)
    if amount < ZERO:
        yield invalid_value(path, str(amount), "must be greater than or equal to 0")
    if amount.nanos % _WHOLE and (name in _COUNTED or is_extended(name)):
        yield invalid_value(path, str(amount), "must be an integer")
    if name.startswith(_PAGES) and not _is_of_whole_pages(name, amount):
        yield invalid_value(path, str(amount), f"{amount} is not positive integer multiple of {name}")


_WHOLE = 10**9


def _overcommit_errors(name: str, value: Any, limits: Mapping[str, Any], path: str) -> Iterator[Cause]:
    may_overcommit = is_native(name) and not name.startswith(_PAGES)
    if name not in limits:
        if not may_overcommit:
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    amount, limit = quantity.of(value), quantity.of(limits[name])
    if amount != limit and not may_overcommit:
        yield invalid_value(f"{path}.requests", str(amount), f"must be equal to {name} limit of {limit}")
    elif amount > limit:
        yield invalid_value(f"{path}.requests", str(amount), f"must be less than or equal to {name} limit of {limit}")


def is_native(name: str) -> bool:
    """Whether the name is one of the cluster's own."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether the name is one of a resource that nodes advertise, of which there are whole pieces alone."""
    return not is_native(name) and not name.startswith("requests.") and not names.qualified_name(f"requests.{name}")


def is_counted(name: str) -> bool:
    """Whether there are whole ones alone of what is so called."""
    return name in _COUNTED or is_extended(name)


def _is_of_whole_pages(name: str, amount: Quantity) -> bool:
    try:
        page = quantity.parse(name.removeprefix(_PAGES))
    except ValueError:
        return False
    return page > ZERO and page.nanos % _WHOLE == 0 and amount.integer % page.integer == 0


def is_standard(name: str) -> bool:
    """Whether the name needs no domain."""
    return name in _STANDARD or name.startswith((_PAGES, f"requests.{_PAGES}"))


def resource_name_errors(name: str, path: str) -> Iterator[Cause]:
    complaints = names.qualified_name(name)
    yield from all_of(path, name, complaints)
    if not complaints and "/" not in name and not is_standard(name):
        yield invalid_value(path, name, "must be a standard resource type or fully qualified")


def container_resource_name(name: str, path: str) -> Iterator[Cause]:
    yield from resource_name_errors(name, path)
    if "/" not in name:
        if name not in _PLAIN and not name.startswith(_PAGES):
            yield invalid_value(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        yield invalid_value(path, name, "doesn't follow extended resource name standard")


def _pod_resource_name(name: str, path: str) -> Iterator[Cause]:
    wrong = list(resource_name_errors(name, path))
    yield from wrong
    if not wrong and not is_of_whole_pods(name):
        yield not_supported(path, name, _OF_PODS)


def is_of_whole_pods(name: str) -> bool:
    """Whether a pod can have the resource as a whole, for its containers to share."""
    return name in _COMPUTE or name.startswith(_PAGES)


def _claim_errors(wanted: list[Object], path: str, claims: frozenset[str]) -> Iterator[Cause]:
    """A container may use a claim as a whole, or requests of it, each once."""
    seen: set[str] = set()
    for index, claim in enumerate(wanted):
        where, name, request = f"{path}[{index}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            yield required(where)
            continue
        key = f"{name}/{request}" if request else name
        if name in seen:
            yield duplicate(where, name)
        else:
            if request:
                yield from all_of(f"{where}.request", request, names.dns_label(request))
            if key in seen:
                yield duplicate(where, key)
            elif not request:
                yield from (duplicate(where, name) for each in seen if each.startswith(f"{name}/"))
            seen.add(key)
        if name not in claims:
            listed = f": {', '.join(sorted(claims))}" if claims else " which is empty"
            yield missing(where, name, f"must be one of the names in pod.spec.resourceClaims{listed}")


_RESIZE_POLICIES = ("NotRequired", "RestartContainer")


def resize_policy_errors(policies: list[Object], path: str, restart_policy: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, entry in enumerate(policies):
        name, policy = entry.get("resourceName") or "", entry.get("restartPolicy") or ""
        if name in seen:
            yield duplicate(f"{path}[{index}]", name)
        seen.add(name)
        for value, supported in ((name, _COMPUTE), (policy, _RESIZE_POLICIES)):
            yield from choice(path, value, supported)
        if restart_policy == "Never" and policy != "NotRequired":
            yield invalid_value(path, policy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")


def pod_resource_errors(spec: Object, path: str) -> Iterator[Cause]:
    """Of the resources that a pod has as a whole, within which its containers stay."""
    resources = spec["resources"]
    if (spec.get("os") or {}).get("name") == "windows":
        yield forbidden(path, "may not be set for a windows pod")
        return
    if resources.get("claims") is not None:
        yield forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level")
    yield from _amounts_errors(resources, path, _pod_resource_name, _COMPUTE)
    if resources.get("claims"):
        claims = frozenset(claim.get("name") or "" for claim in spec.get("resourceClaims") or ())
        yield from _claim_errors(resources["claims"], f"{path}.claims", claims)
    yield from _whole_errors(spec, resources, path)


def _whole_errors(spec: Object, resources: Object, path: str) -> Iterator[Cause]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, amount in containers_total(spec, "requests").items():
        if name in requests and amount > quantity.of(requests[name]):
            detail = f"must be greater than or equal to aggregate container requests of {amount}"
            yield invalid_value(f"{path}.requests[{name}]", str(quantity.of(requests[name])), detail)
    for name, amount in containers_total(spec, "limits").items():
        if name.startswith(_PAGES) and name in limits and amount > quantity.of(limits[name]):
            detail = f"must be greater than or equal to aggregate container limits of {amount}"
            yield invalid_value(f"{path}.limits[{name}]", str(quantity.of(limits[name])), detail)
    for index, container in enumerate(spec.get("containers") or ()):
        for name, value in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.of(value) > quantity.of(limits[name]):
                detail = f"must be less than or equal to pod limits of {quantity.of(limits[name])}"
                yield invalid_value(f"{path}.containers[{index}][{name}].limits", str(quantity.of(value)), detail)
