"""ServiceCIDRs: one range of each family; a second one may be added. The status is written by itself."""

from __future__ import annotations

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import drop_status, keep_status
from apiserver.rules.field_errors import invalid_value, required
from apiserver.rules.immutability import IMMUTABLE
from apiserver.rules.network.addresses import canonical_cidr_errors, parse_cidr
from machinery.api.errors import Cause
from machinery.api.resource import Object

_PATH = "spec.cidrs"
_ONE_EACH = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def _errors(service_cidr: Object) -> list[Cause]:
    ranges = _ranges(service_cidr)
    if not ranges:
        return [required(_PATH, "at least one CIDR required")]
    if len(ranges) > 2:
        return [invalid_value(_PATH, {"CIDRs": ranges}, "may only hold up to 2 values")]
    errors: list[Cause] = []
    for index, text in enumerate(ranges):
        errors += canonical_cidr_errors(text, f"{_PATH}[{index}]")
    families = [parsed.version for text in ranges if (parsed := parse_cidr(text))]
    if len(families) == 2 and families[0] == families[1]:
        errors.append(invalid_value(_PATH, ranges, _ONE_EACH))
    return errors


def _update_errors(new: Object, old: Object) -> list[Cause]:
    after, before = _ranges(new), _ranges(old)
    if len(after) != len(before) and (len(before), len(after)) != (1, 2):
        return [invalid_value(_PATH, after, IMMUTABLE)]
    errors = [
        invalid_value(f"{_PATH}[{index}]", text, IMMUTABLE)
        for index, (text, was) in enumerate(zip(after, before, strict=False))
        if text != was
    ]
    return errors if len(after) == len(before) else errors + _errors(new)


def _ranges(service_cidr: Object) -> list[str]:
    return (service_cidr.get("spec") or {}).get("cidrs") or []


RULES = Rules(
    prepare_create=drop_status,
    prepare_update=keep_status,
    validate=_errors,
    validate_update=_update_errors,
    rechecked="never",
)
