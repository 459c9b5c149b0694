"""Nodes: the status is kept on create, since the kubelet registers with it."""

from __future__ import annotations

from apiserver.kinds.defaulting import keep_status
from apiserver.kinds.rules import Rules

RULES = Rules(prepare_update=keep_status, selectable_fields=("spec.unschedulable",))
