"""Which Ingresses are this cluster's own to serve, and the class by which they say so. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from machinery.api.resource import Object
from machinery.api.views import View

CLASS, CONTROLLER = "nginx", "minikube-py.dev/ingress-nginx"
_BY_ANNOTATION = "kubernetes.io/ingress.class"
_IS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"


def is_default(ingress_class: Object) -> bool:
    return View(ingress_class).annotations.get(_IS_DEFAULT) == "true"


def made_class(there: Iterable[Object]) -> Object:
    """Our class, the default one unless another is."""
    metadata: Object = {"name": CLASS}
    if not any(map(is_default, there)):
        metadata["annotations"] = {_IS_DEFAULT: "true"}
    return {"metadata": metadata, "spec": {"controller": CONTROLLER}}


def owned(ingresses: Iterable[Object], classes: Sequence[Object]) -> list[Object]:
    """Those whose class is ours: by its name, also before the class is made; or none, where the default is ours."""
    controllers = {View(each).name: (each.get("spec") or {}).get("controller") for each in classes}
    defaults = [View(each).name for each in classes if is_default(each)]
    ours = {name for name, controller in controllers.items() if controller == CONTROLLER}
    if CLASS not in controllers:
        ours.add(CLASS)
    takes_classless = not defaults or any(name in ours for name in defaults)
    found = []
    for ingress in ingresses:
        said = (ingress.get("spec") or {}).get("ingressClassName") or View(ingress).annotations.get(_BY_ANNOTATION)
        if said in ours or (not said and takes_classless):
            found.append(ingress)
    return found
