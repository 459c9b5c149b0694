"""YAML request bodies as Go's YAML library reads them: YAML 1.1 booleans, no dates, no base 60, duplicate keys told."""

from __future__ import annotations

import base64
import re
from typing import Any

import yaml

_INT = re.compile(
    r"[-+]?0b[0-1_]+$|[-+]?0o?[0-7_]+$|[-+]?(?:0|[1-9][0-9_]*)$|[-+]?0x[0-9a-fA-F_]+$",
)
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?$|[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?$"
    r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$",
)
_BOOL = re.compile(r"(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$")
_NULL = re.compile(r"(?:~|null|Null|NULL|)$")
_MERGE = re.compile(r"<<$")
_MAX_NODES = 400_000
_TRUE = frozenset(("y", "yes", "true", "on"))


class _Loader(yaml.CSafeLoader):
    """Notes duplicate keys in `duplicates` instead of dropping them silently."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML's own class protocol

    def __init__(self, stream: bytes | str) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(None, None, "invalid map key", key_node.start_mark)
            if key in seen:
                line = key_node.start_mark.line + 1
                self.duplicates.append(f'line {line}: key "{_key_text(key)}" already set in map')
            seen.add(key)
        return {_key_text(key): value for key, value in super().construct_mapping(node, deep=True).items()}


def load(body: bytes | str) -> tuple[Any, list[str]]:
    """(The first document as JSON values, complaints about duplicate keys); raises yaml.YAMLError."""
    loader = _Loader(body)
    try:
        value = loader.get_single_data()
        if b"*" in body if isinstance(body, bytes) else "*" in body:
            _check_aliases(value)
        return value, loader.duplicates
    finally:
        loader.dispose()


def load_all(body: bytes | str) -> list[Any]:
    """Every document, empty ones left out."""
    loader = _Loader(body)
    documents = []
    try:
        while loader.check_data():  # type: ignore[no-untyped-call]
            documents.append(loader.get_data())
    finally:
        loader.dispose()
    return [document for document in documents if document is not None]


def _check_aliases(value: Any) -> None:
    """Raises YAMLError where aliases make a small text a huge object, or one that holds itself."""
    sizes: dict[int, int] = {}

    def size(one: Any, above: frozenset[int]) -> int:
        if not isinstance(one, dict | list):
            return 1
        if id(one) in above:
            raise yaml.YAMLError("anchor value contains itself")
        if id(one) not in sizes:
            items = one.values() if isinstance(one, dict) else one
            sizes[id(one)] = 1 + sum(size(item, above | {id(one)}) for item in items)
        return sizes[id(one)]

    if size(value, frozenset()) > _MAX_NODES:
        raise yaml.YAMLError("document contains excessive aliasing")


def explain(error: yaml.YAMLError) -> str:
    """The complaint in Go's form: `yaml: line 3: did not find expected key`."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"yaml: line {error.problem_mark.line + 1}: {error.problem}"
    return f"yaml: {error}"


def _key_text(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if re.fullmatch("0[0-7]+", digits):
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _float(loader: _Loader, node: yaml.ScalarNode) -> float | int:
    text = node.value.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
    value = float(text)
    # JSON has no word for them.
    if value != value or value in (float("inf"), float("-inf")):
        raise yaml.constructor.ConstructorError(None, None, "json: unsupported value", node.start_mark)
    # As Go's JSON writes a whole float without a fraction, an integer field takes it.
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _boolean(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return node.value.lower() in _TRUE


def _binary(loader: _Loader, node: yaml.ScalarNode) -> str:
    return base64.b64decode(node.value).decode("utf-8", "replace")


def _plain(loader: _Loader, node: yaml.ScalarNode) -> str:
    text: str = node.value
    return text


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("yYnNtTfFoO"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", _NULL, ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", _MERGE, ["<"])
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)
_Loader.add_constructor("tag:yaml.org,2002:binary", _binary)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _plain)
