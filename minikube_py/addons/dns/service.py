"""The Service by which pods reach the cluster's DNS: `kube-dns` in kube-system, as every cluster calls it."""

from __future__ import annotations

from machinery.api.errors import NotFound
from machinery.api.resource import Object, Resource
from machinery.api.resources import ENDPOINT_SLICES, SERVICES
from machinery.api.views import SERVICE_NAME
from machinery.client.cache import Cache
from machinery.client.client import Client
from machinery.ip_families import family_of

NAME, NAMESPACE = "kube-dns", "kube-system"
_MANAGER, _MANAGED_BY = "minikube-py.dns", "endpointslice.kubernetes.io/managed-by"


def published_port(cache: Cache) -> int:
    """The port of the endpoint that an earlier start has told, which rules still lead to; 0 where there was none."""
    found = cache.get(ENDPOINT_SLICES, NAMESPACE, NAME)
    is_ours = found is not None and (found["metadata"].get("labels") or {}).get(_MANAGED_BY) == _MANAGER
    ports = (found.get("ports") or []) if found is not None and is_ours else []
    return next((port.get("port") or 0 for port in ports), 0)


async def publish(client: Client, cluster_ip: str, address: str, port: int) -> None:
    """Makes the Service at `cluster_ip`, and its endpoint what serves at `address` and `port` now."""
    labels = {"k8s-app": NAME, "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    service: Object = {
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "spec": {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "ports": ports},
    }
    endpoints: Object = {
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {SERVICE_NAME: NAME, _MANAGED_BY: _MANAGER},
        },
        "addressType": family_of(address).name,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{**each, "port": port} for each in ports],
    }
    await _make(client, SERVICES, service)
    await _make(client, ENDPOINT_SLICES, endpoints)


async def _make(client: Client, resource: Resource, wanted: Object) -> None:
    """Creates the object, or makes the one that is there what is wanted."""
    metadata = wanted["metadata"]
    try:
        there = await client.get(resource, metadata["name"], metadata["namespace"])
    except NotFound:
        await client.create(resource, wanted, metadata["namespace"])
        return
    if any(there.get(key) != value for key, value in wanted.items() if key != "metadata"):
        await client.patch(resource, metadata["name"], wanted, metadata["namespace"])
