"""RuntimeClass: what a pod's runtime costs, and where it may run, is part of the pod."""

from __future__ import annotations

from apiserver.admission.chain import Admit, Review
from machinery.api.errors import StatusError, forbidden
from machinery.api.quantity import parse
from machinery.api.resource import Object
from machinery.api.resources import PODS, RUNTIME_CLASSES
from machinery.client.cache import Cache


def runtime_class(cache: Cache) -> Admit:
    """The admission function over the RuntimeClasses that `cache` knows."""

    async def admit(review: Review) -> None:
        if review.operation != "CREATE" or review.resource != PODS or review.subresource or review.obj is None:
            return
        spec = review.obj["spec"]
        name, found = spec.get("runtimeClassName"), None
        if name is not None:
            found = cache.get(RUNTIME_CLASSES, "", name)
            if found is None:
                raise _refused(review, f'pod rejected: RuntimeClass "{name}" not found')
        overhead = (found or {}).get("overhead")
        if overhead is not None:
            _charge(review, spec, overhead.get("podFixed") or {})
        elif spec.get("overhead") is not None:
            raise _refused(review, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        if (scheduling := (found or {}).get("scheduling")) is not None:
            _place(review, spec, scheduling)

    return admit


def _refused(review: Review, why: str) -> StatusError:
    return forbidden(PODS.plural, review.name, why)


def _charge(review: Review, spec: Object, fixed: Object) -> None:
    given = spec.get("overhead")
    if given is not None and _amounts(given) != _amounts(fixed):
        raise _refused(review, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    spec["overhead"] = dict(fixed)


def _amounts(resources: Object) -> Object:
    return {name: parse(text) for name, text in resources.items()}


def _place(review: Review, spec: Object, scheduling: Object) -> None:
    selector = dict(spec.get("nodeSelector") or {})
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            own = f"pod.spec.nodeSelector[{key}] = {selector[key]}"
            raise _refused(review, f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; {own}")
        selector[key] = value
    if selector:
        spec["nodeSelector"] = selector
    if merged := _merged([*(spec.get("tolerations") or ()), *(scheduling.get("tolerations") or ())]):
        spec["tolerations"] = merged


def _merged(tolerations: list[Object]) -> list[Object]:
    """Those that no other covers; of equal ones the first."""
    kept: list[Object] = []
    for index, each in enumerate(tolerations):
        later = (other for other in tolerations[index + 1 :] if other != each)
        if not any(_covers(other, each) for other in (*kept, *later)):
            kept.append(each)
    return kept


def _covers(wide: Object, narrow: Object) -> bool:
    if wide == narrow:
        return True
    key, operator, effect = wide.get("key") or "", wide.get("operator") or "Equal", wide.get("effect") or ""
    if (narrow.get("key") or "") != key and (key or operator != "Exists"):
        return False
    if effect and (narrow.get("effect") or "") != effect:
        return False
    if effect == "NoExecute" and wide.get("tolerationSeconds") is not None:
        lasts = narrow.get("tolerationSeconds")
        if lasts is None or lasts > wide["tolerationSeconds"]:
            return False
    if operator == "Exists":
        return True
    # As upstream has it: only who says that it compares is compared.
    is_equal = operator == "Equal" and narrow.get("operator") == "Equal"
    return is_equal and (narrow.get("value") or "") == (wide.get("value") or "")
