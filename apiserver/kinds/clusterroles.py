"""ClusterRoles: rules must say what they are about, or which roles they are gathered from."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.access.rbac import cluster_role_errors

RULES = Rules(validate=cluster_role_errors)
