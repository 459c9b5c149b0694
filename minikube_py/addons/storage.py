"""The default StorageClass `local-path`, and what its provisioner may do. Made once: it is the user's from then on."""

from __future__ import annotations

from contextlib import suppress

from kubelet.local_path import PROVISIONER
from machinery.api.errors import AlreadyExists, NotFound
from machinery.api.resource import Object, Resource
from machinery.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CONFIG_MAPS, STORAGE_CLASSES
from machinery.api.volumes import DEFAULT_CLASS
from machinery.client.client import Client

ACCOUNT = "local-path-provisioner"
NAMESPACE = "kube-system"
_RBAC = "rbac.authorization.k8s.io"
CLASS: Object = {
    "metadata": {"name": "local-path", "annotations": {DEFAULT_CLASS: "true"}},
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}
_ROLE: Object = {
    "metadata": {"name": ACCOUNT},
    "rules": [
        {
            "apiGroups": [""],
            "resources": ["persistentvolumes"],
            "verbs": ["create", "delete", "get", "list", "update", "watch"],
        },
        {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch", "update"]},
    ],
}
_BINDING: Object = {
    "metadata": {"name": ACCOUNT},
    "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": ACCOUNT},
    "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
}
_MADE: Object = {
    "metadata": {"name": ACCOUNT, "namespace": NAMESPACE},
    "data": {"storageclass": "made; delete this ConfigMap to have the StorageClass made again"},
}


async def publish(client: Client) -> None:
    """Makes what lacks, but for a class that was made before and has been deleted since."""
    await _make(client, CLUSTER_ROLES, _ROLE)
    await _make(client, CLUSTER_ROLE_BINDINGS, _BINDING)
    try:
        await client.get(CONFIG_MAPS, ACCOUNT, NAMESPACE)
    except NotFound:
        await _make(client, STORAGE_CLASSES, CLASS)
        await _make(client, CONFIG_MAPS, _MADE)


async def _make(client: Client, resource: Resource, wanted: Object) -> None:
    with suppress(AlreadyExists):
        await client.create(resource, wanted, wanted["metadata"].get("namespace", ""))
