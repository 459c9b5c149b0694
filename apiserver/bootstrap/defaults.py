"""What every cluster has before anybody asks for it: roles, bindings, priorities, and the API's own address. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from ipaddress import ip_address, ip_network
from typing import Any

from apiserver.bootstrap.aggregation import fill_in
from apiserver.bootstrap.local_services import local_services
from apiserver.config import ApiServerConfig
from machinery.api.resource import Object, Resource
from machinery.api.resources import (
    API_SERVICES,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    FLOW_SCHEMAS,
    NAMESPACES,
    PRIORITY_CLASSES,
    PRIORITY_LEVEL_CONFIGURATIONS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_C_I_D_RS,
    SERVICES,
)
from machinery.api.views import SERVICE_NAME
from machinery.structs import Struct

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")

_FROM_DATA = {
    "bootstrap-rbac.json": (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS),
    "bootstrap-misc.json": (PRIORITY_CLASSES, PRIORITY_LEVEL_CONFIGURATIONS, FLOW_SCHEMAS),
}


class BootstrapConfig(Struct, frozen=True):
    """`advertise_address` is where pods reach the API; `service_cidrs` are one a family, the first one preferred."""

    service_cidrs: tuple[str, ...]
    advertise_address: str
    port: int
    client_ca_pem: str

    @classmethod
    def of(cls, config: ApiServerConfig) -> BootstrapConfig:
        return cls(tuple(config.service_cidrs), config.advertise_address, config.port, config.pki.ca_pem.decode())


class Wanted(Struct, frozen=True):
    resource: Resource
    object: Object

    @property
    def key(self) -> tuple[str, str]:
        metadata = self.object["metadata"]
        return metadata.get("namespace", ""), metadata["name"]


def namespaces() -> list[Wanted]:
    """They come first: the rest lives in them."""
    return [_wanted(NAMESPACES, {"metadata": {"name": name}}) for name in SYSTEM_NAMESPACES]


def service_cidr(config: BootstrapConfig) -> Wanted:
    """From which the `kubernetes` Service takes its address, so it comes before that."""
    spec = {"cidrs": list(config.service_cidrs)}
    return _wanted(SERVICE_C_I_D_RS, {"metadata": {"name": "kubernetes"}, "spec": spec})


def objects(config: BootstrapConfig) -> list[Wanted]:
    """All that may be made in any order once the namespaces are there."""
    services = (_wanted(API_SERVICES, each) for each in local_services())
    return [*_data(), *services, *_kubernetes_service(config), _authentication(config)]


@cache
def _data() -> tuple[Wanted, ...]:
    found = []
    for file, resources in _FROM_DATA.items():
        document = json.loads((files("apiserver.bootstrap") / "data" / file).read_bytes())
        for resource in resources:
            listed = document[resource.plural]
            if resource is CLUSTER_ROLES:
                listed = fill_in(listed)
            found += [_wanted(resource, obj) for obj in listed]
    return tuple(found)


def _wanted(resource: Resource, obj: Object) -> Wanted:
    return Wanted(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **obj})


def _kubernetes_service(config: BootstrapConfig) -> Iterator[Wanted]:
    metadata = {"name": "kubernetes", "namespace": "default"}
    cluster_ip = str(ip_network(config.service_cidrs[0])[1])
    port = {"name": "https", "port": config.port, "protocol": "TCP"}
    spec: dict[str, Any] = {
        "type": "ClusterIP",
        "clusterIP": cluster_ip,
        "clusterIPs": [cluster_ip],
        "ipFamilyPolicy": "SingleStack",
        "sessionAffinity": "None",
        "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.port}],
    }
    labels = {"component": "apiserver", "provider": "kubernetes"}
    yield _wanted(SERVICES, {"metadata": {**metadata, "labels": labels}, "spec": spec})
    # Endpoints must be reachable from elsewhere: a server that listens for itself alone has none.
    if ip_address(config.advertise_address).is_loopback:
        return
    mirrored = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    subset = {"addresses": [{"ip": config.advertise_address}], "ports": [port]}
    yield _wanted(ENDPOINTS, {"metadata": {**metadata, "labels": mirrored}, "subsets": [subset]})
    yield _wanted(
        ENDPOINT_SLICES,
        {
            "metadata": {**metadata, "labels": {SERVICE_NAME: "kubernetes"}},
            "addressType": f"IPv{ip_address(config.advertise_address).version}",
            "endpoints": [{"addresses": [config.advertise_address], "conditions": {"ready": True}}],
            "ports": [port],
        },
    )


def _authentication(config: BootstrapConfig) -> Wanted:
    metadata = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
    return _wanted(CONFIG_MAPS, {"metadata": metadata, "data": {"client-ca-file": config.client_ca_pem}})
