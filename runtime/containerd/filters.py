"""containerd's filters, as `ctr images list 'name~=nginx,labels."a.b"==c'` has them. Pure.

A filter is selectors joined by commas, all of which must hold: `field`, `field==value`, `field!=value`,
`field~=expression`. Of several filters one must hold; no filter lets everything through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from runtime.errors import InvalidArgument

Adaptor = Callable[[tuple[str, ...]], str | None]
"""Gives the text of a field by its path, None where the thing has no such field."""

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_FIELD = re.compile(rf"(?:[A-Za-z][A-Za-z0-9_]*|{_QUOTED})(?:\.(?:[A-Za-z][A-Za-z0-9_]*|{_QUOTED}))*")
_PART = re.compile(rf"{_QUOTED}|[A-Za-z0-9_]+")
_OPERATOR = re.compile(r"==|!=|~=")
_VALUE = re.compile(rf"{_QUOTED}|[^,\s\"]*")
# Only expressions may stand between slashes or bars: a plain value may begin with one, as topics do.
_EXPRESSION = re.compile(rf"/(?:[^/\\]|\\.)*/(?=,|$)|\|(?:[^|\\]|\\.)*\|(?=,|$)|{_VALUE.pattern}")


class Filter:
    """One filter; raises InvalidArgument where it can't be read."""

    def __init__(self, text: str) -> None:
        self._selectors: list[tuple[tuple[str, ...], str, str]] = []
        at = 0
        while True:
            at = self._read(text, at)
            if at == len(text):
                return
            if text[at] != ",":
                raise InvalidArgument(f"filters: parse error at {at}: unexpected input {text[at]!r}: invalid argument")
            at += 1

    def _read(self, text: str, at: int) -> int:
        field = _FIELD.match(text, at)
        if field is None:
            raise InvalidArgument(f"filters: parse error at {at}: expected field or quoted: invalid argument")
        path = tuple(_plain(part) for part in _PART.findall(field[0]))
        operator = _OPERATOR.match(text, field.end())
        if operator is None:
            self._selectors.append((path, "", ""))
            return field.end()
        is_expression = operator[0] == "~="
        value = (_EXPRESSION if is_expression else _VALUE).match(text, operator.end())
        assert value is not None
        wanted = _plain(value[0], is_expression=is_expression)
        if is_expression:
            _compiled(wanted)
        self._selectors.append((path, operator[0], wanted))
        return value.end()

    def holds(self, adaptor: Adaptor) -> bool:
        return all(_selects(adaptor(path), operator, value) for path, operator, value in self._selectors)


def any_of(texts: Iterable[str]) -> Callable[[Adaptor], bool]:
    """Whether a thing passes one of the filters; raises InvalidArgument where one can't be read."""
    filters = [Filter(text) for text in texts]
    return lambda adaptor: not filters or any(each.holds(adaptor) for each in filters)


def adaptor(fields: Mapping[str, str | Mapping[str, str]]) -> Adaptor:
    """An adaptor over plain fields and maps such as labels; dots in a path may stand in a name of such a map."""

    def find(path: Sequence[str]) -> str | None:
        found = fields.get(path[0])
        if isinstance(found, Mapping):
            return found.get(".".join(path[1:]))
        return found if len(path) == 1 and found else None

    return find


def _selects(found: str | None, operator: str, value: str) -> bool:
    if operator == "!=":
        return found != value
    if found is None:
        return False
    if operator == "~=":
        return _compiled(value).search(found) is not None
    return found == value if operator else True


def _plain(text: str, *, is_expression: bool = False) -> str:
    if text[:1] == '"':
        try:
            return str(json.loads(text))
        except ValueError as error:
            raise InvalidArgument(f"filters: invalid quoted string {text}: invalid argument") from error
    if is_expression and len(text) > 1 and text[0] in "/|" and text[-1] == text[0]:
        return text[1:-1]
    return text


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise InvalidArgument(f"filters: invalid regular expression {text!r}: {error}: invalid argument") from error
