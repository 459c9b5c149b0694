"""What `GET /` lists: every path that the server answers beside the objects themselves."""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.discovery import Discovery

CHECKS = (
    "autoregister-completion",
    "etcd",
    "log",
    "loopback-serving-certificate",
    "ping",
)
READY_CHECKS = ("autoregister-completion", "informer-sync", "log", "ping", "shutdown")
HOOKS = (
    "apiservice-discovery-controller",
    "apiservice-openapi-controller",
    "apiservice-openapiv3-controller",
    "apiservice-registration-controller",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-wait-for-first-sync",
    "bootstrap-controller",
    "crd-informer-synced",
    "generic-apiserver-start-informers",
    "kube-apiserver-autoregistration",
    "peer-endpoint-reconciler-controller",
    "priority-and-fairness-config-consumer",
    "priority-and-fairness-config-producer",
    "priority-and-fairness-filter",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "start-apiextensions-controllers",
    "start-apiextensions-informers",
    "start-apiserver-admission-initializer",
    "start-cluster-authentication-info-controller",
    "start-kube-aggregator-informers",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
    "start-kubernetes-service-cidr-controller",
    "start-legacy-token-tracking-controller",
    "start-service-ip-repair-controllers",
    "start-system-namespaces-controller",
    "storage-object-count-tracker-hook",
    "storage-readiness",
)
_OTHERS = (
    "/.well-known/openid-configuration", "/api", "/apis", "/apis/", "/flagz", "/healthz", "/livez", "/metrics",
    "/metrics/slis", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/openid/v1/jwks", "/readyz", "/statusz", "/version",
)  # fmt: skip


def root_paths(discovery: Discovery) -> list[str]:
    """The sorted paths, for `{"paths": …}`."""
    return sorted({*_OTHERS, *_groups(discovery), *_checks()})


def _groups(discovery: Discovery) -> Iterable[str]:
    for group, versions in discovery.groups.items():
        base = f"/apis/{group}" if group else "/api"
        yield base
        yield from (f"{base}/{version}" for version in versions)


def _checks() -> Iterable[str]:
    for endpoint, checks in (("/healthz", CHECKS), ("/livez", CHECKS), ("/readyz", READY_CHECKS)):
        yield from (f"{endpoint}/{check}" for check in checks)
        yield from (f"{endpoint}/poststarthook/{hook}" for hook in HOOKS)
