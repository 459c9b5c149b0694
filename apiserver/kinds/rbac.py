"""What role bindings of both scopes share: groups of the references (rbac.authorization.k8s.io/v1 defaulting)."""

from __future__ import annotations

from machinery.api.resource import Object

GROUP = "rbac.authorization.k8s.io"


def default_references(binding: Object) -> None:
    role = binding.get("roleRef")
    if role is not None:
        role["apiGroup"] = role.get("apiGroup") or GROUP
    for subject in binding.get("subjects") or []:
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP
