"""What a call says beside its message: the namespace that it is about and the lease that holds what it sends.

containerd keeps what Kubernetes runs in the namespace `k8s.io`; this runtime has nothing else, so every other
namespace is empty, and nothing can be put there.
"""

from __future__ import annotations

from typing import Any

from runtime.errors import FailedPrecondition

NAMESPACE = "k8s.io"


def namespace(context: Any) -> str:
    """Raises FailedPrecondition where the caller names none."""
    found = _metadata(context, "containerd-namespace")
    if not found:
        raise FailedPrecondition("namespace is required: failed precondition")
    return found


def is_ours(context: Any) -> bool:
    return namespace(context) == NAMESPACE


def require_ours(context: Any) -> None:
    """Raises FailedPrecondition that says where things are."""
    if not is_ours(context):
        raise FailedPrecondition(
            f'namespace "{namespace(context)}" can hold nothing here: '
            f"everything is in {NAMESPACE} (ctr --namespace {NAMESPACE} …): failed precondition"
        )


def lease(context: Any) -> str:
    """The id of the lease that the caller works under; empty where it has none."""
    return _metadata(context, "containerd-lease")


def _metadata(context: Any, name: str) -> str:
    return next((str(value) for key, value in context.invocation_metadata() or () if key == name), "")
