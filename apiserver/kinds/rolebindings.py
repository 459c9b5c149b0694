"""RoleBindings: the references' groups, and what they may name."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.access.rbac import binding_errors, binding_update_errors, default_references

RULES = Rules(
    default=default_references,
    validate=lambda binding: binding_errors(binding, namespaced=True),
    validate_update=binding_update_errors,
)
