"""How endpoints are laid into EndpointSlices: fewest writes first, fullest slices before new ones, as upstream does it.

All of it works on endpoints of one Service, address type and set of ports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from controllers.plan import Key
from machinery.api.resource import Object
from machinery.api.views import EndpointSlice
from machinery.structs import Struct, field, replace

MOST_ENDPOINTS = 100
"""In one slice."""

Identity = tuple[tuple[str, ...], str, Key]
"""What makes an endpoint the same although its conditions change: addresses, hostname and target."""


class Slice(Struct, frozen=True):
    """A slice as it shall be; `was` is the stored one that becomes it, None for a new one."""

    endpoints: tuple[Object, ...]
    ports: tuple[Object, ...]
    address_type: str
    was: EndpointSlice | None = None


class Changes(Struct, frozen=True):
    """Of slices: what to create, to update, to delete, and what stays as it is."""

    created: tuple[Slice, ...] = ()
    updated: tuple[Slice, ...] = ()
    deleted: tuple[EndpointSlice, ...] = ()
    unchanged: tuple[EndpointSlice, ...] = ()

    def __add__(self, other: Changes) -> Changes:
        return Changes(
            self.created + other.created,
            self.updated + other.updated,
            self.deleted + other.deleted,
            self.unchanged + other.unchanged,
        )


class _Room(Struct):
    """A stored slice, with the endpoints that it keeps and gets."""

    stored: EndpointSlice
    endpoints: list[Object] = field(default_factory=list)
    is_changed: bool = False


def identity(endpoint: Object) -> Identity:
    target = endpoint.get("targetRef") or {}
    named = Key(target.get("namespace") or "", target.get("name") or "")
    return tuple(sorted(endpoint.get("addresses") or ())), endpoint.get("hostname") or "", named


def without_hints(endpoint: Object) -> Object:
    return {key: value for key, value in endpoint.items() if key != "hints"}


def filled(
    stored: Sequence[EndpointSlice], wanted: Mapping[Identity, Object], ports: tuple[Object, ...], kind: str,
    is_stale: Iterable[str],
) -> Changes:  # fmt: skip
    """The slices with `wanted` in them; those named in `is_stale` are written in any case, as their labels changed."""
    left, stale = dict(wanted), set(is_stale)
    rooms = [_kept(each, left, is_stale=each.name in stale) for each in stored]
    emptied = [room for room in rooms if room.is_changed and not room.endpoints and room.stored.endpoints]
    changed = [room for room in rooms if room.is_changed and room not in emptied]
    untouched = [room for room in rooms if not room.is_changed]
    for room in sorted(changed, key=lambda room: -len(room.endpoints)):
        room.endpoints += _taken(left, MOST_ENDPOINTS - len(room.endpoints))
    created = []
    while left:
        if room_for_all := _fullest(untouched, len(left)):
            room_for_all.endpoints += _taken(left, len(left))
            untouched.remove(room_for_all)
            changed.append(room_for_all)
        else:
            created.append(Slice(tuple(_taken(left, MOST_ENDPOINTS)), ports, kind))
    updated = [Slice(tuple(room.endpoints), tuple(room.stored.ports), kind, room.stored) for room in changed]
    return Changes(
        tuple(created),
        tuple(updated),
        tuple(room.stored for room in emptied),
        tuple(room.stored for room in untouched),
    )


def _kept(stored: EndpointSlice, left: dict[Identity, Object], *, is_stale: bool) -> _Room:
    """The slice with those of its endpoints that are wanted still, as they are now; these are taken out of `left`."""
    room = _Room(stored, is_changed=is_stale)
    for endpoint in stored.endpoints:
        now = left.pop(identity(endpoint), None)
        if now is None:
            room.is_changed = True
            continue
        # Hints are given anew to each slice that is written, and are no reason to write it.
        if without_hints(endpoint) != now:
            room.is_changed = True
        room.endpoints.append(now)
    return room


def _fullest(rooms: Iterable[_Room], count: int) -> _Room | None:
    """The slice that `count` more endpoints fill best, if any has the room; a full slice's worth gets a new one."""
    fitting = [room for room in rooms if count < MOST_ENDPOINTS and count <= MOST_ENDPOINTS - len(room.endpoints)]
    return max(fitting, key=lambda room: len(room.endpoints), default=None)


def _taken(left: dict[Identity, Object], count: int) -> list[Object]:
    return [left.pop(key) for key in list(left)[:count]]


def recycled(changes: Changes) -> Changes:
    """Creates become updates of slices that would be deleted."""
    created, updated, deleted = list(changes.created), list(changes.updated), []
    for old in changes.deleted:
        if created and created[-1].address_type == old.address_type:
            updated.append(replace(created.pop(), was=old))
        else:
            deleted.append(old)
    return Changes(tuple(created), tuple(updated), tuple(deleted), changes.unchanged)
