"""What role bindings of both scopes share: groups of the references (rbac.authorization.k8s.io/v1 defaulting)."""

from __future__ import annotations

from apiserver.kinds.field_errors import invalid_value, not_supported, required
from machinery.api.errors import Cause
from machinery.api.resource import Object

GROUP = "rbac.authorization.k8s.io"


def default_references(binding: Object) -> None:
    role = binding.get("roleRef")
    if role is not None:
        role["apiGroup"] = role.get("apiGroup") or GROUP
    for subject in binding.get("subjects") or []:
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP


def binding_errors(binding: Object, *, namespaced: bool) -> list[Cause]:
    role = binding.get("roleRef") or {}
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    errors: list[Cause] = []
    if role.get("apiGroup") != GROUP:
        errors.append(not_supported("roleRef.apiGroup", role.get("apiGroup") or "", (GROUP,)))
    if role.get("kind") not in kinds:
        errors.append(not_supported("roleRef.kind", role.get("kind") or "", kinds))
    if not role.get("name"):
        errors.append(required("roleRef.name"))
    for index, subject in enumerate(binding.get("subjects") or []):
        errors += _subject_errors(subject, f"subjects[{index}]", namespaced=namespaced)
    return errors


def _subject_errors(subject: Object, path: str, *, namespaced: bool) -> list[Cause]:
    kind = subject.get("kind") or ""
    errors: list[Cause] = []
    if not subject.get("name"):
        errors.append(required(f"{path}.name"))
    if kind == "ServiceAccount":
        if not namespaced and not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
        if subject.get("apiGroup"):
            errors.append(not_supported(f"{path}.apiGroup", subject["apiGroup"], ("",)))
    elif kind in ("User", "Group"):
        if subject.get("apiGroup") != GROUP:
            errors.append(not_supported(f"{path}.apiGroup", subject.get("apiGroup") or "", (GROUP,)))
    else:
        errors.append(not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
    return errors


def binding_update_errors(new: Object, old: Object) -> list[Cause]:
    if new.get("roleRef") == old.get("roleRef"):
        return []
    role = new.get("roleRef") or {}
    shown = {"APIGroup": role.get("apiGroup", ""), "Kind": role.get("kind", ""), "Name": role.get("name", "")}
    return [invalid_value("roleRef", shown, "cannot change roleRef")]


def role_errors(role: Object, *, namespaced: bool = False) -> list[Cause]:
    errors: list[Cause] = []
    for index, rule in enumerate(role.get("rules") or []):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        urls = rule.get("nonResourceURLs")
        if urls:
            if namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                errors.append(invalid_value(f"{path}.nonResourceURLs", urls, detail))
            if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                errors.append(invalid_value(f"{path}.nonResourceURLs", urls, detail))
            continue
        if not rule.get("apiGroups"):
            errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return errors
