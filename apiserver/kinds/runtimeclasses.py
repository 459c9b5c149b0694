"""RuntimeClasses: the handler is a label, and stays."""

from __future__ import annotations

from apiserver.kinds.field_errors import all_of, required
from apiserver.kinds.immutability import immutable
from apiserver.kinds.rules import Rules
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.resource import Object


def validate(runtime_class: Object) -> list[Cause]:
    handler = runtime_class.get("handler") or ""
    return all_of("handler", handler, names.dns_label(handler)) if handler else [required("handler")]


RULES = Rules(validate=validate, validate_update=immutable("handler"))
