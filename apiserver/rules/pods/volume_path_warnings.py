"""What upstream warns of in a volume's files: paths of which one lies upon, or inside of, another (core/v1)."""

from __future__ import annotations

from collections.abc import Iterator

from apiserver.rules.field_errors import said
from machinery.api.resource import Object


def overlap_warnings(volume: Object) -> Iterator[str]:
    name = f"volume {said(volume.get('name') or '')}"
    for kind, shown, field in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        source = volume.get(kind)
        if source is not None and source.get("items"):
            what = f"{name} ({shown} {said(source.get(field) or '')}): overlapping paths"
            yield from _overlaps(_paths(source), what)
    if items := (volume.get("downwardAPI") or {}).get("items"):
        yield from _overlaps([item.get("path") or "" for item in items], f"{name} (DownwardAPI): overlapping paths")
    if (projected := volume.get("projected")) is not None:
        yield from _projected_warnings(projected.get("sources") or [], name)


def _projected_warnings(sources: list[Object], name: str) -> Iterator[str]:
    """Each source's paths among themselves, and then together with those of the sources before."""
    before: set[str] = set()
    for source in sources:
        if not source:
            yield f"{name} (Projected) has no sources provided"
            continue
        paths, shown = _source_paths(source)
        if not paths:
            continue
        what = f"{name} (Projected {shown}): overlapping paths"
        yield from _overlaps(paths, what)
        yield from _overlaps(sorted([*set(paths), *before]), what)
        before |= set(paths)


def _source_paths(source: Object) -> tuple[list[str], str]:
    for kind, shown in (("configMap", "ConfigMap"), ("secret", "Secret")):
        keyed = source.get(kind)
        if keyed is not None and keyed.get("items"):
            return _paths(keyed), f"{shown} {said(keyed.get('name') or '')}"
    if (source.get("downwardAPI") or {}).get("items"):
        return _paths(source["downwardAPI"]), "DownwardAPI"
    if (token := source.get("serviceAccountToken")) is not None:
        return [token.get("path") or ""], "ServiceAccountToken"
    return [], ""


def _paths(source: Object) -> list[str]:
    return [item.get("path") or "" for item in source["items"]]


def _overlaps(paths: list[str], what: str) -> Iterator[str]:
    seen: dict[str, None] = {}
    for path in paths:
        plain = path.rstrip("/")
        other = next((each for each in seen if _do_overlap(each, plain)), None) if plain else None
        if other is not None:
            yield f"{what}: {said(plain)} with {said(other)}"
        seen[plain] = None


def _do_overlap(one: str, other: str) -> bool:
    # The slash stands after the longer one only, so `a` and `ab` are told, too; so they are upstream.
    return bool(one) and (f"{one}/".startswith(other) or f"{other}/".startswith(one))
