"""Roles: rules must say what they are about."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.access.rbac import role_errors

RULES = Rules(validate=role_errors)
