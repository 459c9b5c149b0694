"""Nodes: the status is kept on create, since the kubelet registers with it; taints, and what is told once."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.kinds.rules import Rules
from apiserver.rules.defaulting import keep_status
from apiserver.rules.field_errors import all_of, choice, duplicate, forbidden, invalid_value
from apiserver.rules.network.addresses import cidr_errors, cidr_warnings, parse_cidr
from apiserver.rules.pods.resource_rules import is_counted
from machinery.api import names
from machinery.api.errors import Cause
from machinery.api.quantity import ZERO, of
from machinery.api.resource import Object

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ONCE = 'node updates may not change {} except from "" to valid'


def default(node: Object) -> None:
    """`podCIDR` is the first of `podCIDRs`; where they differ, the one that old clients know is meant. All is
    allocatable where nothing else is said."""
    spec = node.get("spec") or {}
    first, ranges = spec.get("podCIDR"), spec.get("podCIDRs") or []
    if first and ranges[:1] != [first]:
        spec["podCIDRs"] = [first]
    elif ranges and not first:
        spec["podCIDR"] = ranges[0]
    status = node.get("status") or {}
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def validate(node: Object) -> list[Cause]:
    spec = node.get("spec") or {}
    errors = list(_taint_errors(spec["taints"])) if spec.get("taints") else []
    errors += _amount_errors(node.get("status") or {})
    return [*errors, *_range_errors(spec["podCIDRs"])] if spec.get("podCIDRs") else errors


def _taint_errors(taints: list[Object]) -> Iterator[Cause]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        # Upstream says so, though they stand in the spec.
        path = f"metadata.taints[{index}]"
        key, value, effect = taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
        yield from all_of(f"{path}.key", key, names.qualified_name(key))
        if complaints := names.label_value(value):
            yield invalid_value(f"{path}.value", value, ";".join(complaints))
        yield from choice(f"{path}.effect", effect, _EFFECTS)
        if (key, effect) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            twice = duplicate(path, shown)
            yield Cause(twice.reason, f"{twice.message}: taints must be unique by key and effect pair", path)
        seen.add((key, effect))


def _amount_errors(status: Object) -> Iterator[Cause]:
    for part in ("capacity", "allocatable"):
        for name, text in (status.get(part) or {}).items():
            amount = of(text)
            if amount < ZERO:
                detail = "must be greater than or equal to 0"
                yield invalid_value(f"status.{part}.{name}", str(amount), detail)
            if amount.milli % 1000 and is_counted(name):
                yield invalid_value(f"status.{part}.{name}", str(amount), "must be an integer")


def _range_errors(ranges: list[str]) -> Iterator[Cause]:
    path = "spec.podCIDRs"
    for index, text in enumerate(ranges):
        yield from cidr_errors(text, f"{path}[{index}]")
    if len(ranges) < 2:
        return
    versions = {parsed.version for text in ranges if (parsed := parse_cidr(text)) is not None}
    if len(versions) < 2 or len(ranges) > 2:
        yield invalid_value(path, ranges, "may specify no more than one CIDR for each IP family")
    for index, text in enumerate(ranges):
        if text in ranges[:index]:
            yield duplicate(f"{path}[{index}]", text)


def validate_update(new: Object, old: Object) -> list[Cause]:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    errors = list(_address_errors((new.get("status") or {}).get("addresses") or []))
    had, ranges = before.get("podCIDRs") or [], spec.get("podCIDRs") or []
    changed = sum(now != then for now, then in zip(ranges, had, strict=False)) if len(had) == len(ranges) else 1
    errors += [forbidden("spec.podCIDRs", _ONCE.format("podCIDR"))] * (changed if had else 0)
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        errors.append(forbidden("spec.providerID", _ONCE.format("providerID")))
    if (spec.get("externalID") or "") != (before.get("externalID") or ""):
        errors.append(forbidden("spec.externalID", "may not be updated"))
    return errors


def _address_errors(addresses: list[Object]) -> Iterator[Cause]:
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(addresses):
        kind, text = address.get("type") or "", address.get("address") or ""
        if (kind, text) in seen:
            yield duplicate(f"status.addresses[{index}]", {"Type": kind, "Address": text})
        seen.add((kind, text))


def validate_status(new: Object, old: Object) -> list[Cause]:
    return [
        *_amount_errors(new.get("status") or {}),
        *_address_errors((new.get("status") or {}).get("addresses") or []),
    ]


def warnings(node: Object) -> list[str]:
    spec = node.get("spec") or {}
    found = []
    if spec.get("configSource") is not None:
        found.append("spec.configSource: the feature is removed")
    if spec.get("externalID"):
        found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    for index, text in enumerate(spec.get("podCIDRs") or ()):
        found += cidr_warnings(text, f"spec.podCIDRs[{index}]")
    return found


RULES = Rules(
    default=default,
    prepare_update=keep_status,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    warnings=warnings,
    update_warnings=lambda new, old: warnings(new),
    selectable_fields=("spec.unschedulable",),
)
