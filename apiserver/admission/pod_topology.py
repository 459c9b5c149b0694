"""PodTopologyLabels (KEP-4742): a pod has its node's zone and region as labels, for its containers to read."""

from __future__ import annotations

from apiserver.admission.chain import Admit, Review
from machinery.api.resources import NODES, PODS
from machinery.client.cache import Cache

_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


def pod_topology_labels(cache: Cache) -> Admit:
    """Labels pods that are created on a node, and those that a Binding puts on one of `cache`; theirs are replaced."""

    async def admit(review: Review) -> None:
        comes_to_a_node = (review.operation, review.subresource) in (("CREATE", ""), ("UPDATE", "binding"))
        if review.resource != PODS or review.obj is None or not comes_to_a_node:
            return
        node = cache.get(NODES, "", review.obj["spec"].get("nodeName") or "")
        there = ((node or {}).get("metadata") or {}).get("labels") or {}
        if found := {key: there[key] for key in _LABELS if key in there}:
            metadata = review.obj["metadata"]
            # A bound pod shares what does not change with the stored one.
            review.obj["metadata"] = {**metadata, "labels": {**(metadata.get("labels") or {}), **found}}

    return admit
