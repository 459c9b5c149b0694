"""Roles: rules must say what they are about."""

from __future__ import annotations

from apiserver.kinds.rbac import role_errors
from apiserver.kinds.rules import Rules

RULES = Rules(validate=role_errors)
