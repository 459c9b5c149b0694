"""DefaultIngressClass: an Ingress that names no class, by its spec or by the old annotation, gets the default one."""

from __future__ import annotations

from apiserver.admission.chain import Admit, Review
from machinery.api.class_defaults import marked_default
from machinery.api.resources import INGRESS_CLASSES, INGRESSES
from machinery.client.cache import Cache

_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_OLD = "kubernetes.io/ingress.class"


def default_ingress_class(cache: Cache) -> Admit:
    async def admit(review: Review) -> None:
        ingress = review.obj
        if review.operation != "CREATE" or review.resource != INGRESSES or ingress is None:
            return
        has_old = _OLD in (ingress["metadata"].get("annotations") or {})
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or has_old:
            return
        default = marked_default(cache.list(INGRESS_CLASSES), _DEFAULT)
        if default is not None:
            spec["ingressClassName"] = default["metadata"]["name"]

    return admit
