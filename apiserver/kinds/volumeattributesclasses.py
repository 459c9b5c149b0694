"""VolumeAttributesClasses: what they say stays as it is."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.storage.storage_rules import attributes_class_errors, attributes_class_update_errors

RULES = Rules(validate=attributes_class_errors, validate_update=attributes_class_update_errors, rechecked="last")
