"""RoleBindings: the references' groups."""

from __future__ import annotations

from apiserver.kinds.rbac import default_references
from apiserver.kinds.rules import Rules

RULES = Rules(default=default_references)
