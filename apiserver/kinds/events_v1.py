"""events.k8s.io/v1 Events: stored as core's, whose rules they obey, and selected by their own names for the fields."""

from __future__ import annotations

from apiserver.kinds.rules import Rules

RULES = Rules(
    selectable_fields=(
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "regarding.apiVersion",
        "regarding.resourceVersion",
        "regarding.fieldPath",
        "reason",
        "reportingController",
        "type",
    ),
)
