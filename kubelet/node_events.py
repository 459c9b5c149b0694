"""What the node tells of itself by events, as `kubectl describe node` shows them. Pure."""

from __future__ import annotations

from collections.abc import Callable

from machinery.api.resource import Object

Tell = Callable[[str, str, str], None]
"""Type, reason, message."""

_REASONS = {
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("PIDPressure", "True"): "NodeHasInsufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}

STARTING = (
    ("Normal", "Starting", "Starting kubelet."),
    ("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods"),
)


def node_events(name: str, before: Object, after: Object) -> list[tuple[str, str, str]]:
    """The events for what has changed between two statuses of the node; an empty one is that of a new node."""
    found = [
        ("Normal", reason, f"Node {name} status is now: {reason}")
        for kind, status in _conditions(after).items()
        if _conditions(before).get(kind) != status and (reason := _REASONS.get((kind, status)))
    ]
    was, now = _address(before), _address(after)
    if was and now and was != now:
        found.append(("Normal", "NodeAddressChanged", f"Node {name} is known by {now} now, no longer by {was}"))
    old, new = _boot(before), _boot(after)
    if old and new and old != new:
        found.insert(0, ("Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {new}"))
    return found


def _conditions(status: Object) -> dict[str, str]:
    return {each["type"]: each["status"] for each in status.get("conditions") or ()}


def _boot(status: Object) -> str:
    return str((status.get("nodeInfo") or {}).get("bootID", ""))


def _address(status: Object) -> str:
    addresses = status.get("addresses") or ()
    return next((str(each["address"]) for each in addresses if each["type"] == "InternalIP"), "")
