"""ClusterRoles: rules must say what they are about, or which roles they are gathered from."""

from __future__ import annotations

from apiserver.kinds.rbac import cluster_role_errors
from apiserver.kinds.rules import Rules

RULES = Rules(validate=cluster_role_errors)
