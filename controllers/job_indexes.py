"""Sets of completion indexes as a Job's status writes them, `1,3-5,7`: as small as their runs, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from machinery.structs import Struct


class Indexes(Struct, frozen=True):
    """A set of indexes as ordered ranges that neither meet nor overlap."""

    ranges: tuple[range, ...] = ()

    @classmethod
    def of(cls, indexes: Iterable[int]) -> Indexes:
        return cls(tuple(_joined(range(index, index + 1) for index in sorted(set(indexes)))))

    @classmethod
    def parse(cls, text: str, completions: int) -> Indexes:
        """What `text` lists below `completions`; parts that are no range are passed over."""
        found = (_range(part) for part in text.split(",") if part)
        below = (range(each.start, min(each.stop, completions)) for each in found if each)
        return cls(tuple(_joined(sorted((each for each in below if each), key=lambda each: each.start))))

    def __or__(self, other: Indexes) -> Indexes:
        return Indexes(tuple(_joined(sorted((*self.ranges, *other.ranges), key=lambda each: each.start))))

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    def __contains__(self, index: int) -> bool:
        return any(index in each for each in self.ranges)

    def __str__(self) -> str:
        return ",".join(map(_text, self.ranges))

    def common(self, other: Indexes) -> int:
        """How many indexes are in both."""
        pairs = ((one, two) for one in self.ranges for two in other.ranges)
        return sum(max(min(one.stop, two.stop) - max(one.start, two.start), 0) for one, two in pairs)

    def missing(self, completions: int) -> Iterator[int]:
        """The indexes below `completions` that are not in the set, in order."""
        start = 0
        for each in self.ranges:
            yield from range(start, min(each.start, completions))
            start = max(start, each.stop)
        yield from range(start, completions)


def _joined(ranges: Iterable[range]) -> Iterator[range]:
    """The ordered ranges with those in one that meet or overlap."""
    last: range | None = None
    for each in ranges:
        if last is None:
            last = each
        elif each.start <= last.stop:
            last = range(last.start, max(last.stop, each.stop))
        else:
            yield last
            last = each
    if last is not None:
        yield last


def _range(text: str) -> range | None:
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last or "0").isdigit():
        return None
    return range(int(first), int(last or first) + 1)


def _text(each: range) -> str:
    first, last = each.start, each.stop - 1
    if first == last:
        return str(first)
    return f"{first}{',' if last == first + 1 else '-'}{last}"
