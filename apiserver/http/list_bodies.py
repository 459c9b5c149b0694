"""Bodies of whole lists, kept as long as nothing in them changes: many clients list the same, again and again.

The items' bytes depend on the objects alone, the list's head on the revision too, which any write moves on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from apiserver.http.compression import SMALLEST, Packed, joined, packed
from apiserver.registry.lists import Whole
from machinery.structs import Struct

_WORTH_KEEPING = 16 * 1024
_MOST_BYTES = 16 * 1024 * 1024
_TAIL = b"]}\n"


class Body(Struct, frozen=True):
    data: bytes
    is_packed: bool


class _Kept(Struct):
    items: bytes
    packed: Packed | None = None
    head: bytes = b""
    body: Body | None = None

    @property
    def size(self) -> int:
        packed = len(self.packed.blocks) if self.packed else 0
        return len(self.items) + packed + (len(self.body.data) if self.body else 0)

    async def made(self, head: bytes, *, may_pack: bool) -> Body:
        is_packed = may_pack and len(self.items) >= SMALLEST
        if self.head == head and self.body is not None and self.body.is_packed == is_packed:
            return self.body
        if not is_packed:
            return Body(b"%b%b%b" % (head, self.items, _TAIL), is_packed=False)
        if self.packed is None:
            self.packed = await packed(self.items)
        return Body(joined(head, self.packed, _TAIL), is_packed=True)


class ListBodies:
    """The lists asked for last, within a bound of bytes."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Whole, _Kept] = OrderedDict()

    async def body(self, whole: Whole | None, head: bytes, items: Callable[[], bytes], *, may_pack: bool) -> Body:
        """`head`, the items and the end, gzipped where that may be and pays; `items` makes them where unknown."""
        kept = self._kept.get(whole) if whole is not None else None
        if kept is None:
            kept = _Kept(items())
        body = await kept.made(head, may_pack=may_pack)
        if whole is not None and len(kept.items) >= _WORTH_KEEPING:
            kept.head, kept.body = head, body
            self._keep(whole, kept)
        return body

    def _keep(self, whole: Whole, kept: _Kept) -> None:
        for other in [other for other in self._kept if other.is_older_than(whole)]:
            del self._kept[other]
        self._kept[whole] = kept
        self._kept.move_to_end(whole)
        size = sum(each.size for each in self._kept.values())
        while size > self._most_bytes and self._kept:
            size -= self._kept.popitem(last=False)[1].size
