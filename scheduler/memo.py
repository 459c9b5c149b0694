"""Remembers what a pure function said about each node, so that after a binding only one node is looked at anew.

NodeInfos are values: what was found out about one holds until it is replaced. A `Stamp` says which were replaced since
another, so a table need not even look at the others. Nothing here decides anything; a `Memo` that forgets everything
gives the same results, later.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from machinery.structs import Struct, replace
from scheduler.node_info import NodeInfo

_TABLES = 256
_REMEMBERED = 4096


class ChangeLog:
    """The names of nodes that changed, in order; only the latest are kept."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._first = 0

    @property
    def version(self) -> int:
        return self._first + len(self._names)

    def note(self, name: str) -> None:
        self._names.append(name)
        if len(self._names) > 2 * _REMEMBERED:
            del self._names[:_REMEMBERED]
            self._first += _REMEMBERED

    def between(self, one: int, other: int) -> Collection[str] | None:
        """What changed from the earlier of two versions to the later, None where that is no longer known."""
        least, most = min(one, other), max(one, other)
        return None if least < self._first else self._names[least - self._first : most - self._first]


class Stamp(Struct, frozen=True):
    """A state of the nodes: a version of their log, and those that are taken to be otherwise than they are."""

    log: ChangeLog
    version: int
    apart: frozenset[str] = frozenset()

    def having(self, name: str) -> Stamp:
        return replace(self, apart=self.apart | {name})

    def differing(self, other: Stamp | None) -> Collection[str] | None:
        """The nodes that may differ between the two, None where that can't be said."""
        if other is None or other.log is not self.log:
            return None
        changed = self.log.between(self.version, other.version)
        if changed is None or not (self.apart or other.apart):
            return changed
        return {*changed, *self.apart, *other.apart}


class Nodes(Protocol):
    """The part of a snapshot that tables follow."""

    @property
    def nodes(self) -> Mapping[str, NodeInfo]: ...
    @property
    def stamp(self) -> Stamp | None: ...


class Answers:
    """What was answered about each node; `of` is by name."""

    def __init__(self) -> None:
        self.of: dict[str, Any] = {}
        self._infos: dict[str, NodeInfo] = {}
        self._stamp: Stamp | None = None

    def follow(self, at: Nodes, answer: Callable[[NodeInfo], Any]) -> None:
        """Becomes what holds for these nodes; `answer` may look at nothing but the question and the NodeInfo."""
        nodes, known = at.nodes, self._infos
        changed = at.stamp.differing(self._stamp) if at.stamp is not None else None
        if changed is None:
            for name in known.keys() - nodes.keys():
                self.drop(name)
            changed = nodes
        for name in changed:
            info = nodes.get(name)
            if info is None:
                self.drop(name)
            elif known.get(name) is not info:
                known[name] = info
                self._put(name, answer(info))
        self._stamp = at.stamp

    def drop(self, name: str) -> None:
        """The node is gone."""
        if self._infos.pop(name, None) is not None:
            self._take(name)

    def _put(self, name: str, found: Any) -> None:
        self.of[name] = found

    def _take(self, name: str) -> None:
        del self.of[name]


Share = tuple[str, str, int]
"""What a node adds to a domain: topology key, value, amount."""
Sums = Mapping[str, Mapping[str, int]]
"""By topology key and value."""


class Tally(Answers):
    """Sums over the nodes by domain, where answers are Shares; a domain is there while some node has a part in it."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[str, dict[str, int]] = {}
        self._parts: dict[tuple[str, str], int] = {}

    def _put(self, name: str, found: Iterable[Share]) -> None:
        if before := self.of.get(name):
            self._subtract(before)
        self.of[name] = found = tuple(found)
        for key, value, amount in found:
            of_key = self.sums.setdefault(key, {})
            of_key[value] = of_key.get(value, 0) + amount
            self._parts[key, value] = self._parts.get((key, value), 0) + 1

    def _take(self, name: str) -> None:
        self._subtract(self.of.pop(name))

    def _subtract(self, shares: Iterable[Share]) -> None:
        for key, value, amount in shares:
            self._parts[key, value] -= 1
            self.sums[key][value] -= amount
            if not self._parts[key, value]:
                del self._parts[key, value], self.sums[key][value]


T = TypeVar("T", bound=Answers)


class Memo:
    """A table for each question; the questions asked longest ago are forgotten first."""

    def __init__(self) -> None:
        self._tables: OrderedDict[Hashable, Answers] = OrderedDict()

    def answers(self, question: Hashable, at: Nodes, answer: Callable[[NodeInfo], Any]) -> Mapping[str, Any]:
        """By the node's name."""
        return self.table(Answers, question, at, answer).of

    def sums(self, question: Hashable, at: Nodes, answer: Callable[[NodeInfo], Iterable[Share]]) -> Sums:
        """For use at once: they change when the question is asked about another state of the nodes."""
        return self.table(Tally, question, at, answer).sums

    def kept_sums(self, question: Hashable, at: Nodes, answer: Callable[[NodeInfo], Iterable[Share]]) -> Sums:
        return {key: dict(of_key) for key, of_key in self.sums(question, at, answer).items()}

    def table(self, kind: type[T], question: Hashable, at: Nodes, answer: Callable[[NodeInfo], Any]) -> T:
        found = self._tables.get(question)
        if not isinstance(found, kind):
            found = self._tables[question] = kind()
            if len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
        else:
            self._tables.move_to_end(question)
        found.follow(at, answer)
        return found

    def forget(self, name: str) -> None:
        """A node that is gone: tables that nobody asks any more would keep it."""
        for table in self._tables.values():
            table.drop(name)
