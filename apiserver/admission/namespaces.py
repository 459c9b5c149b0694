"""NamespaceLifecycle: nothing is made in a namespace that is missing or ends, and three namespaces never end."""

from __future__ import annotations

from apiserver.admission.chain import Admit, Review
from machinery.api.errors import Cause, Forbidden, forbidden, not_found
from machinery.api.resources import NAMESPACES
from machinery.client.cache import Cache

IMMORTAL = ("default", "kube-system", "kube-public")
_ALLOWED_IN_ENDING = {"localsubjectaccessreviews", "subjectaccessreviews"}


def namespace_lifecycle(cache: Cache) -> Admit:
    """The admission function over the namespaces that `cache` knows."""

    async def admit(review: Review) -> None:
        if review.operation == "DELETE":
            if review.resource == NAMESPACES and review.name in IMMORTAL:
                raise forbidden("namespaces", review.name, "this namespace may not be deleted")
            return
        if review.operation != "CREATE" or not review.namespace or review.resource.plural in _ALLOWED_IN_ENDING:
            return
        namespace = cache.get(NAMESPACES, "", review.namespace)
        if namespace is None:
            raise not_found("namespaces", review.namespace)
        if namespace["metadata"].get("deletionTimestamp"):
            raise _ending(review)

    return admit


def _ending(review: Review) -> Forbidden:
    namespace, resource = review.namespace, review.resource
    said = f"unable to create new content in namespace {namespace} because it is being terminated"
    subject = f'{resource.qualified} "{review.name}"' if review.name else resource.qualified
    cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
    return Forbidden(
        f"{subject} is forbidden: {said}", kind=resource.plural, group=resource.group, name=review.name, causes=(cause,)
    )
