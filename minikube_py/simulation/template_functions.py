"""The functions that templates of stages may call: text/template's own, KWOK's, and those of Sprig that stages use.

Values are JSON's. Time, addresses and the name of the node come from the scene, by `of_scene`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from machinery.api.resource import Object
from machinery.api.timestamps import rfc3339
from minikube_py.simulation.fast import CONDITIONS, VERSION
from minikube_py.simulation.stages import Scene

Functions = Mapping[str, Callable[..., Any]]


def of_scene(obj: Object, scene: Scene) -> Functions:
    """What is so for this object and this moment."""
    name = obj["metadata"]["name"] if obj.get("kind") == "Node" else (obj.get("spec") or {}).get("nodeName", "")
    node, pod = scene.node_ip, scene.pod_ip

    def pod_address(node_name: str, is_on_host: object = False, *of: str) -> str:  # noqa: FBT002 - as stages call it
        return node if is_on_host else pod

    def pod_addresses(*given: Any) -> list[str]:
        found = pod_address(*given)
        return [found] if found else []

    return {
        "Now": lambda: rfc3339(scene.now),
        "StartTime": lambda: rfc3339(scene.started or scene.now),
        "Version": lambda: VERSION,
        "NodeName": lambda: name,
        "NodeIP": lambda: node,
        "NodeIPWith": lambda node_name: node,
        "NodeIPsWith": lambda node_name: [node] if node else [],
        "NodePort": lambda: 0,
        "PodIP": lambda: pod,
        "PodIPWith": pod_address,
        "PodIPsWith": pod_addresses,
        "NodeConditions": lambda: [dict(zip(_CONDITION, row, strict=True)) for row in CONDITIONS],
    }


_CONDITION = ("type", "status", "reason", "message")


def holds(value: Any) -> bool:
    """Go's truth: what is not its type's zero."""
    return bool(value)


def written(value: Any) -> str:
    """As Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{' '.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{written(each)}' for key, each in sorted(value.items()))}]"
    return str(value)


def _index(value: Any, *path: Any) -> Any:
    for name in path:
        value = value[name] if isinstance(value, list) else (value or {}).get(name)
    return value


_VERB = re.compile(r"%([-+ 0#]*\d*(?:\.\d+)?)([a-zA-Z%])")


def _printf(pattern: str, *given: Any) -> str:
    left = list(given)

    def one(match: re.Match[str]) -> str:
        flags, verb = match.groups()
        if verb == "%":
            return "%"
        value = left.pop(0)
        if verb == "q":
            return orjson.dumps(written(value)).decode()
        if verb in "vs":
            return f"%{flags}s" % written(value)
        return str(f"%{flags}{verb}" % value)

    return _VERB.sub(one, pattern)


def _quote(value: Any) -> str:
    said = orjson.dumps(value).decode()
    return said if said.startswith('"') else orjson.dumps(said).decode()


def _yaml(value: Any, indent: int = 0) -> str:
    import yaml

    said = str(yaml.dump(value, Dumper=yaml.CSafeDumper, default_flow_style=False, sort_keys=True))
    return said if not indent else _indented(indent * 2, f"\n{said}")


def _indented(spaces: int, text: str) -> str:
    return text.replace("\n", "\n" + " " * spaces)


def _dict(*pairs: Any) -> dict[str, Any]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def _sum(*given: Any) -> int:
    return sum(map(int, given))


BUILT_IN: Functions = {
    "and": lambda *given: next((each for each in given if not holds(each)), given[-1]),
    "or": lambda *given: next((each for each in given if holds(each)), given[-1]),
    "not": lambda value: not holds(value),
    "eq": lambda first, *others: any(first == each for each in others),
    "ne": lambda first, second: first != second,
    "lt": lambda first, second: first < second,
    "le": lambda first, second: first <= second,
    "gt": lambda first, second: first > second,
    "ge": lambda first, second: first >= second,
    "len": lambda value: len(value or ()),
    "index": _index,
    "print": lambda *given: "".join(map(written, given)),
    "println": lambda *given: " ".join(map(written, given)) + "\n",
    "printf": _printf,
    "Quote": _quote,
    "YAML": _yaml,
    "quote": lambda *given: " ".join(orjson.dumps(written(each)).decode() for each in given),
    "dict": _dict,
    "list": lambda *given: list(given),
    "get": lambda value, key: (value or {}).get(key, ""),
    "hasKey": lambda value, key: key in (value or {}),
    "default": lambda other, value=None: value if holds(value) else other,
    "empty": lambda value: not holds(value),
    "coalesce": lambda *given: next((each for each in given if holds(each)), None),
    "ternary": lambda yes, no, value: yes if holds(value) else no,
    "add": _sum,
    "add1": lambda value: int(value) + 1,
    "sub": lambda one, other: int(one) - int(other),
    "mul": lambda one, other: int(one) * int(other),
    "div": lambda one, other: int(int(one) / int(other)),
    "mod": lambda one, other: int(one) % int(other),
    "max": lambda *given: max(map(int, given)),
    "min": lambda *given: min(map(int, given)),
    "int": lambda value: int(float(value or 0)),
    "int64": lambda value: int(float(value or 0)),
    "toString": written,
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "trim": lambda text: text.strip(),
    "trimPrefix": lambda part, text: text.removeprefix(part),
    "trimSuffix": lambda part, text: text.removesuffix(part),
    "replace": lambda old, new, text: text.replace(old, new),
    "contains": lambda part, text: part in text,
    "hasPrefix": lambda part, text: text.startswith(part),
    "hasSuffix": lambda part, text: text.endswith(part),
    "join": lambda mark, value: mark.join(map(written, value or ())),
    "splitList": lambda mark, text: text.split(mark),
    "indent": lambda spaces, text: " " * spaces + _indented(spaces, text),
    "nindent": lambda spaces, text: "\n" + " " * spaces + _indented(spaces, text),
    "toJson": lambda value: orjson.dumps(value).decode(),
    "fromJson": lambda text: orjson.loads(text),
    "first": lambda value: value[0] if value else None,
    "last": lambda value: value[-1] if value else None,
    "until": lambda count: list(range(int(count))),
}
