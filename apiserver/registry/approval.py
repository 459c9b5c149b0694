"""The approval sub-resource of a CertificateSigningRequest: its conditions alone, with their times. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from machinery.api.resource import Object
from machinery.api.timestamps import rfc3339


def approved(wanted: Object, now: datetime) -> Callable[[Object], Object]:
    """The change that takes over the conditions of `wanted`; times that it leaves out are now."""
    conditions = (wanted.get("status") or {}).get("conditions")

    def change(current: Object) -> Object:
        status = {key: value for key, value in (current.get("status") or {}).items() if key != "conditions"}
        before = {each["type"]: each for each in (current.get("status") or {}).get("conditions") or []}
        if conditions:
            status["conditions"] = [
                _timed(each, before.get(each.get("type") or ""), rfc3339(now)) for each in conditions
            ]
        return {**current, "status": status}

    return change


def _timed(condition: Object, before: Object | None, now: str) -> Object:
    since = now
    if before is not None and before.get("status") == condition.get("status"):
        since = before.get("lastTransitionTime") or now
    return {
        **condition,
        "lastUpdateTime": condition.get("lastUpdateTime") or now,
        "lastTransitionTime": condition.get("lastTransitionTime") or since,
    }
