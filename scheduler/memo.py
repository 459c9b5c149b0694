"""Remembers what a pure function said about a NodeInfo, so that after a binding only one node is looked at anew.

NodeInfos are values: what was found out about one holds until it is replaced. Nothing here decides anything; a
`Memo` that forgets everything gives the same results, later.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from scheduler.node_info import NodeInfo

T = TypeVar("T")
_TABLES = 256


class Memo:
    """A table of nodes for each question; the questions asked longest ago are forgotten first."""

    def __init__(self) -> None:
        self._tables: OrderedDict[Hashable, dict[str, tuple[NodeInfo, Any]]] = OrderedDict()

    def table(self, question: Hashable) -> dict[str, tuple[NodeInfo, Any]]:
        found = self._tables.get(question)
        if found is None:
            found = self._tables[question] = {}
            if len(self._tables) > _TABLES:
                self._tables.popitem(last=False)
        else:
            self._tables.move_to_end(question)
        return found

    def each(self, question: Hashable, infos: Iterable[NodeInfo], answer: Callable[[NodeInfo], T]) -> list[T]:
        """The answers for the nodes, in order; `answer` may look at nothing but the question and the NodeInfo."""
        table = self.table(question)
        found: list[T] = []
        for info in infos:
            name = info.node.name
            known = table.get(name)
            if known is None or known[0] is not info:
                known = table[name] = (info, answer(info))
            found.append(known[1])
        return found

    def keep_only(self, names: Iterable[str]) -> None:
        """Forgets nodes that are no longer there."""
        there = set(names)
        for table in self._tables.values():
            for name in table.keys() - there:
                del table[name]
