"""How a Service is reached from outside the cluster, which decides what else it may say."""

from __future__ import annotations

from machinery.api.resource import Object

EXPOSED = ("NodePort", "LoadBalancer")


def is_exposed(spec: Object) -> bool:
    """Whether traffic comes to it from outside."""
    kind = spec.get("type")
    return kind in EXPOSED or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Object) -> bool:
    """Whether load balancers ask each node if it has endpoints of its own."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
