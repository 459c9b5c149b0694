"""What an autoscaler scales, and which pods that is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from machinery.api import selectors
from machinery.api.resource import Resource
from machinery.api.resources import HORIZONTAL_POD_AUTOSCALERS, RESOURCES
from machinery.api.views import HorizontalPodAutoscaler, Pod, Workload
from machinery.client.cache import Cache
from machinery.structs import Struct


class Target(Struct, frozen=True):
    """What is scaled: a resource with the scale sub-resource."""

    resource: Resource
    view: Workload
    selector: str


def target_of(cache: Cache, autoscaler: HorizontalPodAutoscaler) -> tuple[Target | None, str]:
    """What the autoscaler scales, or why that can't be told."""
    reference = autoscaler.target
    group, version = _group_and_version(reference.get("apiVersion") or "")
    rows = [row for row in RESOURCES if (row.group, row.kind) == (group, reference["kind"])]
    row = next((each for each in rows if each.version == version), None)
    if row is None:
        known = f'no matches for kind "{reference["kind"]}" in group "{group}"'
        return None, known if not rows else f'no matches for kind "{reference["kind"]}" in version "{group}/{version}"'
    if row.subresource("scale") is None:
        return None, "the server could not find the requested resource"
    found = cache.get(row, autoscaler.namespace, reference["name"])
    if found is None:
        return None, f'{row.qualified} "{reference["name"]}" not found'
    view = Workload(found)
    is_plain = row.plural == "replicationcontrollers"
    parse = selectors.from_labels if is_plain else selectors.stored_selector
    return Target(row, view, str(parse(view.selector)) if view.selector else ""), ""


def _group_and_version(api_version: str) -> tuple[str, str]:
    group, slash, version = api_version.rpartition("/")
    return (group, version) if slash else ("", api_version)


def rivals(cache: Cache, namespace: str, pods: Sequence[Pod]) -> Iterable[str]:
    """The autoscalers of the namespace whose targets' selectors match any of the pods."""
    for found in cache.list(HORIZONTAL_POD_AUTOSCALERS, namespace):
        other = HorizontalPodAutoscaler(found)
        target, _ = target_of(cache, other)
        if target is not None and target.selector:
            matches = selectors.parse_labels(target.selector).matches
            if any(matches(pod.labels) for pod in pods):
                yield f"{namespace}/{other.name}"
