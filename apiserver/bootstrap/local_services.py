"""The APIServices of what the server itself serves, as kube-apiserver registers them at its start. Pure.

Their priorities are those of upstream's aggregator; its own group has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from machinery.api.resource import Object

MANAGED = "kube-aggregator.kubernetes.io/automanaged"

_PRIORITIES = {
    "v1": (18000, 1),
    "apps/v1": (17800, 15),
    "events.k8s.io/v1": (17750, 15),
    "authentication.k8s.io/v1": (17700, 15),
    "authorization.k8s.io/v1": (17600, 15),
    "autoscaling/v1": (17500, 15),
    "autoscaling/v2": (17500, 30),
    "batch/v1": (17400, 15),
    "certificates.k8s.io/v1": (17300, 15),
    "networking.k8s.io/v1": (17200, 15),
    "policy/v1": (17100, 15),
    "rbac.authorization.k8s.io/v1": (17000, 15),
    "storage.k8s.io/v1": (16800, 15),
    "apiextensions.k8s.io/v1": (16700, 15),
    "admissionregistration.k8s.io/v1": (16700, 15),
    "scheduling.k8s.io/v1": (16600, 15),
    "coordination.k8s.io/v1": (16500, 15),
    "node.k8s.io/v1": (16300, 15),
    "discovery.k8s.io/v1": (16200, 15),
    "resource.k8s.io/v1": (16200, 20),
    "flowcontrol.apiserver.k8s.io/v1": (16100, 21),
}


def local_services() -> Iterator[Object]:
    """One for each group and version but the aggregator's own."""
    for api_version, (group_priority, version_priority) in _PRIORITIES.items():
        group, _, version = api_version.rpartition("/")
        spec = {"version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority}
        yield {
            "metadata": {"name": f"{version}.{group}", "labels": {MANAGED: "onstart"}},
            "spec": {"group": group, **spec} if group else spec,
        }
