"""What tells of metrics.k8s.io beside the group itself: its APIService, and a role that others contain."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from machinery.api.errors import AlreadyExists, Conflict
from machinery.api.resource import Object, Resource
from machinery.api.resources import API_SERVICES, CLUSTER_ROLES
from machinery.api.timestamps import rfc3339
from machinery.api.views import View
from machinery.client.client import Client

_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_ROLE: Object = {
    "metadata": {
        "name": "system:aggregated-metrics-reader",
        "labels": {f"{_AGGREGATE}{role}": "true" for role in ("admin", "edit", "view")},
    },
    "rules": [{"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list"]}],
}
_API_SERVICE: Object = {
    "metadata": {"name": "v1beta1.metrics.k8s.io"},
    "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100},
}


_AVAILABLE: Object = {
    "type": "Available",
    "status": "True",
    "reason": "Local",
    "message": "Local APIServices are always available",
}


async def publish(client: Client, now: datetime) -> None:
    """Makes what lacks."""
    await _make(client, CLUSTER_ROLES, _ROLE)
    await _make(client, API_SERVICES, _API_SERVICE)
    found = await client.get(API_SERVICES, _API_SERVICE["metadata"]["name"])
    if not View(found).is_true("Available"):
        told = {"conditions": [{**_AVAILABLE, "lastTransitionTime": rfc3339(now)}]}
        # Whoever was faster has told it.
        with suppress(Conflict):
            await client.update(API_SERVICES, {**found, "status": told}, subresource="status")


async def _make(client: Client, resource: Resource, wanted: Object) -> None:
    with suppress(AlreadyExists):
        await client.create(resource, wanted)
