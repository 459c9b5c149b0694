"""CSINodes: the drivers of a node, each once."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.storage.storage_rules import node_errors, node_update_errors

RULES = Rules(validate=node_errors, validate_update=node_update_errors)
