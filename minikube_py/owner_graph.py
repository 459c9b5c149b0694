"""Who owns whom, as a graph: what hangs below an object, in which order it goes, and which objects own each other.

The everyday index of owners is the watch cache's; this answers a person's questions, so networkx is loaded only then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from machinery.structs import Struct

if TYPE_CHECKING:
    import networkx


class Member(Struct, frozen=True):
    """An object in the graph; `kind` is empty for an owner that is referred to and not there."""

    uid: str
    kind: str
    name: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


class Line(Struct, frozen=True):
    """A member at its depth below the root; one that was shown further up already is `again`."""

    depth: int
    member: Member
    again: bool = False


class OwnerGraph:
    """The graph over objects as the API gives them, with an edge from each owner to what it owns."""

    def __init__(self, objects: Iterable[dict[str, Any]]) -> None:
        import networkx

        self._graph: networkx.DiGraph[str] = networkx.DiGraph()
        self._members: dict[str, Member] = {}
        found = list(objects)
        for obj in found:
            metadata = obj["metadata"]
            member = Member(metadata["uid"], obj["kind"], metadata["name"], _note(obj))
            self._members[member.uid] = member
            self._graph.add_node(member.uid)
        for obj in found:
            for owner in obj["metadata"].get("ownerReferences") or ():
                self._members.setdefault(owner["uid"], Member(owner["uid"], owner["kind"], owner["name"], "missing"))
                self._graph.add_edge(owner["uid"], obj["metadata"]["uid"])

    def find(self, kind: str, name: str) -> Member | None:
        """By kind (any case, plural too) and name."""
        wanted = kind.lower()
        for member in self._members.values():
            if member.name == name and wanted in (member.kind.lower(), f"{member.kind.lower()}s"):
                return member
        return None

    def below(self, root: Member) -> list[Line]:
        """The root and all that it owns, directly or not, each object once with its own."""
        lines: list[Line] = []
        seen: set[str] = set()
        stack = [(0, root.uid)]
        while stack:
            depth, uid = stack.pop()
            lines.append(Line(depth, self._members[uid], again=uid in seen))
            if uid not in seen:
                seen.add(uid)
                stack += [(depth + 1, child) for child in reversed(self._children(uid))]
        return lines

    def roots_of(self, member: Member) -> list[Member]:
        """Those above it that nobody owns; the member itself if nobody owns it."""
        import networkx

        above = {member.uid, *networkx.ancestors(self._graph, member.uid)}
        return self._sorted(uid for uid in above if self._graph.in_degree(uid) == 0) or [member]

    def foreground_order(self, root: Member) -> list[Member]:
        """As foreground deletion takes them away, owners after what they own; empty where a ring forbids it."""
        import networkx

        part = self._graph.subgraph({root.uid, *networkx.descendants(self._graph, root.uid)})
        if not networkx.is_directed_acyclic_graph(part):
            return []
        order = networkx.lexicographical_topological_sort(part, key=lambda uid: str(self._members[uid]))
        return [self._members[uid] for uid in reversed(list(order))]

    def cycles(self) -> list[list[Member]]:
        """Objects that own each other in a ring: nothing but a deletion by hand ends them."""
        import networkx

        return [self._sorted(ring) for ring in networkx.simple_cycles(self._graph)]

    def _children(self, uid: str) -> Sequence[str]:
        return [member.uid for member in self._sorted(self._graph.successors(uid))]

    def _sorted(self, uids: Iterable[str]) -> list[Member]:
        return sorted((self._members[uid] for uid in uids), key=str)


def _note(obj: dict[str, Any]) -> str:
    """What a person wants to know beside the name."""
    status = obj.get("status") or {}
    if obj["metadata"].get("deletionTimestamp"):
        return "being deleted"
    if obj["kind"] == "Pod":
        return str(status.get("phase", ""))
    replicas = (obj.get("spec") or {}).get("replicas")
    return f"{status.get('readyReplicas', 0)} of {replicas} ready" if isinstance(replicas, int) else ""
