"""LimitRanger: what containers leave unsaid is filled in, and what leaves a namespace's limits is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from apiserver.admission.chain import Admit, Review
from machinery.api.errors import Forbidden, forbidden
from machinery.api.pod_resources import Amounts, amounts, pod_total
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object
from machinery.api.resources import LIMIT_RANGES, PERSISTENT_VOLUME_CLAIMS, PODS
from machinery.api.views import Pod
from machinery.client.cache import Cache

ANNOTATION = "kubernetes.io/limit-ranger"


def limit_ranger(cache: Cache) -> Admit:
    """The admission function over the LimitRanges that `cache` knows."""

    async def admit(review: Review) -> None:
        obj = review.obj
        if obj is None or not _is_concerned(review):
            return
        ranges = sorted(cache.list(LIMIT_RANGES, review.namespace), key=lambda each: str(each["metadata"]["name"]))
        if review.resource == PODS and review.operation == "CREATE":
            for each in ranges:
                fill_in(obj, _items(each))
        for each in ranges:
            errors = list(violations(obj, _items(each), is_pod=review.resource == PODS))
            if errors:
                raise _refused(review, errors)

    return admit


def _is_concerned(review: Review) -> bool:
    """What a pod's containers want changes by its resizing alone."""
    if review.resource == PODS:
        asked = (review.operation, review.subresource)
        return asked in (("CREATE", ""), ("UPDATE", "resize"))
    return review.resource == PERSISTENT_VOLUME_CLAIMS and not review.subresource and review.operation != "DELETE"


def _refused(review: Review, errors: Sequence[str]) -> Forbidden:
    said = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
    return forbidden(review.resource.plural, review.name, said)


def _items(limit_range: Object) -> Sequence[Object]:
    return (limit_range.get("spec") or {}).get("limits") or ()


def fill_in(pod: Object, items: Sequence[Object]) -> None:
    """Gives containers the limits and requests that they lack, and tells in an annotation which."""
    defaults = [item for item in items if item.get("type") == "Container"]
    limits = {name: value for item in defaults for name, value in (item.get("default") or {}).items()}
    requests = {name: value for item in defaults for name, value in (item.get("defaultRequest") or {}).items()}
    spec, told = pod["spec"], list[str]()
    for part, noun in (("containers", "container"), ("initContainers", "init container")):
        if spec.get(part):
            spec[part] = [_filled(each, requests, limits, noun, told) for each in spec[part]]
    if told:
        metadata = pod["metadata"]
        said = f"LimitRanger plugin set: {'; '.join(told)}"
        metadata["annotations"] = {**(metadata.get("annotations") or {}), ANNOTATION: said}


def _filled(
    container: Object, requests: Mapping[str, str], limits: Mapping[str, str], noun: str, told: list[str]
) -> Object:
    resources = dict(container.get("resources") or {})
    for field, given in (("requests", requests), ("limits", limits)):
        said = resources.get(field) or {}
        lacking = sorted(given.keys() - said.keys())
        if lacking:
            resources[field] = {**said, **{name: given[name] for name in lacking}}
            told.append(f"{', '.join(lacking)} {field[:-1]} for {noun} {container['name']}")
    return {**container, "resources": resources} if resources else container


def violations(obj: Object, items: Sequence[Object], *, is_pod: bool) -> Iterator[str]:
    """What of the object leaves the limits, in upstream's words."""
    for item in items:
        kind = item.get("type") or ""
        if not is_pod and kind == "PersistentVolumeClaim":
            yield from _claim_violations(item, kind, amounts(obj["spec"], "requests"))
        elif is_pod and kind == "Container":
            pod = Pod(obj)
            for container in (*pod.containers, *pod.init_containers):
                yield from _violations(item, kind, amounts(container, "requests"), amounts(container, "limits"))
        elif is_pod and kind == "Pod":
            pod = Pod({**obj, "spec": {**obj["spec"], "overhead": None}})
            yield from _violations(item, kind, pod_total(pod, "requests"), pod_total(pod, "limits"))


def _violations(item: Object, kind: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for tier, judge in (("min", _below), ("max", _above), ("maxLimitRequestRatio", _beyond)):
        for name, bound in sorted((item.get(tier) or {}).items()):
            if why := judge(name, kind, bound, requests, limits):
                yield why


def _below(name: str, kind: str, bound: str, requests: Amounts, limits: Amounts) -> str:
    start = f"minimum {name} usage per {kind} is {bound}"
    if name not in requests:
        return f"{start}.  No request is specified"
    if requests[name] < of(bound):
        return f"{start}, but request is {requests[name]}"
    if name in limits and limits[name] < of(bound):
        return f"{start}, but limit is {limits[name]}"
    return ""


def _above(name: str, kind: str, bound: str, requests: Amounts, limits: Amounts) -> str:
    start = f"maximum {name} usage per {kind} is {bound}"
    if name not in limits:
        return f"{start}.  No limit is specified"
    if limits[name] > of(bound):
        return f"{start}, but limit is {limits[name]}"
    if name in requests and requests[name] > of(bound):
        return f"{start}, but request is {requests[name]}"
    return ""


def _beyond(name: str, kind: str, bound: str, requests: Amounts, limits: Amounts) -> str:
    start = f"{name} max limit to request ratio per {kind} is {bound}"
    if not requests.get(name, ZERO):
        return f"{start}, but no request is specified or request is 0"
    if not limits.get(name, ZERO):
        return f"{start}, but no limit is specified or limit is 0"
    ratio = limits[name].nanos / requests[name].nanos
    return f"{start}, but provided ratio is {ratio:f}" if ratio > float(of(bound)) else ""


def _claim_violations(item: Object, kind: str, requests: Amounts) -> Iterator[str]:
    tests: tuple[tuple[str, str, Callable[[int, int], bool]], ...] = (
        ("min", "minimum", int.__lt__),
        ("max", "maximum", int.__gt__),
    )
    for tier, word, is_out in tests:
        for name, bound in sorted((item.get(tier) or {}).items()):
            start = f"{word} {name} usage per {kind} is {bound}"
            if name not in requests:
                yield f"{start}.  No request is specified"
            elif is_out(requests[name].nanos, of(bound).nanos):
                yield f"{start}, but request is {requests[name]}"
