"""ControllerRevisions: data that is kept as it is, and a number."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.field_errors import not_negative, required
from apiserver.rules.immutability import immutable
from machinery.api.errors import Cause
from machinery.api.resource import Object


def _errors(revision: Object) -> list[Cause]:
    errors = not_negative("revision", revision.get("revision"))
    return [*errors, required("data", "data is mandatory")] if revision.get("data") is None else errors


def _update_errors(new: Object, old: Object) -> list[Cause]:
    return not_negative("revision", new.get("revision")) + immutable("data")(new, old)


RULES = Rules(validate=_errors, validate_update=_update_errors, rechecked="never")
