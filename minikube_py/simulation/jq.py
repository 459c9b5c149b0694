"""The part of jq's language in which stages ask about objects: paths, iteration, `select`, comparisons, functions.

A query is compiled once into functions; each takes a value and gives all results, as jq's filters do.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

Filter = Callable[[Any], Iterator[Any]]


class QueryError(ValueError):
    """A query that can't be read, or a value that it can't be asked of."""


def query(text: str) -> Callable[[Any], list[Any] | None]:
    """What gives the results that are not null, None where jq would fail on the value; raises QueryError."""
    parser = _Parser(text)
    found = parser.pipe()
    parser.expect("")

    def ask(value: Any) -> list[Any] | None:
        try:
            return [each for each in found(value) if each is not None]
        except QueryError:
            return None

    return ask


_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<field>\.[A-Za-z_]\w*)|(?P<name>[A-Za-z_]\w*)
    |(?P<mark>==|!=|<=|>=|//|[.|,()\[\]<>?]))""",
    re.VERBOSE,
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_LITERALS = {"true": True, "false": False, "null": None}


class _Parser:
    """By precedence, the loosest first: `|`, `,`, `//`, `or`, `and`, comparisons, what follows a term."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0

    def pipe(self) -> Filter:
        first = self._several()
        return _then(first, self.pipe()) if self._skip("|") else first

    def _several(self) -> Filter:
        found = [self._alternative()]
        while self._skip(","):
            found.append(self._alternative())
        return found[0] if len(found) == 1 else lambda value: (each for one in found for each in one(value))

    def _alternative(self) -> Filter:
        first = self._either()
        return _otherwise(first, self._alternative()) if self._skip("//") else first

    def _either(self) -> Filter:
        found = self._both()
        while self._skip("or"):
            found = _pairs(found, self._both(), lambda one, other: _holds(one) or _holds(other))
        return found

    def _both(self) -> Filter:
        found = self._comparison()
        while self._skip("and"):
            found = _pairs(found, self._comparison(), lambda one, other: _holds(one) and _holds(other))
        return found

    def _comparison(self) -> Filter:
        found = self._term()
        if self._next in _COMPARISONS:
            compare = _COMPARISONS[self._take()]
            found = _pairs(found, self._term(), compare)
        return found

    def _term(self) -> Filter:
        found = self._primary()
        while True:
            if self._next.startswith(".") and len(self._next) > 1:
                found = _then(found, _field(self._take()[1:]))
            elif self._next == "[" or (self._next == "." and self._after in ("[", '"')):
                self._skip(".")
                found = _then(found, self._suffix())
            elif self._skip("?"):
                found = _forgiving(found)
            else:
                return found

    def _primary(self) -> Filter:
        token = self._take()
        if token == ".":
            return self._suffix() if self._next.startswith(('"', "[")) else _itself
        if token.startswith("."):
            return _field(token[1:])
        if token.startswith('"') or token[0].isdigit() or token.startswith("-") or token in _LITERALS:
            return _constant(_literal(token))
        if token == "(":
            found = self.pipe()
            self.expect(")")
            return found
        return self._function(token)

    def _suffix(self) -> Filter:
        """`."name"`, `[]`, `["name"]` or `[0]`, at its beginning."""
        if self._next.startswith('"'):
            return _field(_literal(self._take()))
        self.expect("[")
        if self._skip("]"):
            return _each
        token = self._take()
        self.expect("]")
        return _field(_literal(token))

    def _function(self, name: str) -> Filter:
        arguments = []
        if self._skip("("):
            arguments.append(self.pipe())
            self.expect(")")
        made = _FUNCTIONS.get((name, len(arguments)))
        if made is None:
            raise QueryError(f"{self._text!r}: {name!r} is not understood here")
        return made(*arguments)

    @property
    def _next(self) -> str:
        return self._tokens[self._at]

    @property
    def _after(self) -> str:
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else ""
        return following[:1]

    def _take(self) -> str:
        token = self._next
        if not token:
            raise QueryError(f"{self._text!r} ends too early")
        self._at += 1
        return token

    def _skip(self, token: str) -> bool:
        if self._next != token:
            return False
        self._at += 1
        return True

    def expect(self, token: str) -> None:
        if not self._skip(token) and (token or self._next):
            raise QueryError(f"{self._text!r}: {self._next or 'its end'!r} where {token or 'its end'!r} is expected")


def _tokens(text: str) -> list[str]:
    found, at, text = [], 0, text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise QueryError(f"{text!r}: {text[at:]!r} is not understood here")
        found.append(match[0].strip())
        at = match.end()
    return [*found, ""]


def _literal(token: str) -> Any:
    import orjson

    if token in _LITERALS:
        return _LITERALS[token]
    try:
        return orjson.loads(token)
    except ValueError:
        raise QueryError(f"{token!r} is neither a text nor a number") from None


def _holds(value: Any) -> bool:
    return value is not None and value is not False


def _itself(value: Any) -> Iterator[Any]:
    yield value


def _constant(value: Any) -> Filter:
    return lambda _: iter((value,))


def _field(name: Any) -> Filter:
    def look(value: Any) -> Iterator[Any]:
        if value is None:
            yield None
        elif isinstance(value, dict) and isinstance(name, str):
            yield value.get(name)
        elif isinstance(value, list) and isinstance(name, int):
            yield value[name] if -len(value) <= name < len(value) else None
        else:
            raise QueryError(f"cannot index {type(value).__name__} with {name!r}")

    return look


def _each(value: Any) -> Iterator[Any]:
    if not isinstance(value, list | dict):
        raise QueryError(f"cannot iterate over {type(value).__name__}")
    yield from value.values() if isinstance(value, dict) else value


def _then(first: Filter, second: Filter) -> Filter:
    return lambda value: (each for one in first(value) for each in second(one))


def _otherwise(first: Filter, second: Filter) -> Filter:
    def look(value: Any) -> Iterator[Any]:
        found = [each for each in _forgiving(first)(value) if _holds(each)]
        yield from found or second(value)

    return look


def _forgiving(found: Filter) -> Filter:
    def look(value: Any) -> Iterator[Any]:
        try:
            yield from found(value)
        except QueryError:
            return

    return look


def _pairs(first: Filter, second: Filter, combine: Callable[[Any, Any], Any]) -> Filter:
    def look(value: Any) -> Iterator[Any]:
        for other in second(value):
            for one in first(value):
                try:
                    yield combine(one, other)
                except TypeError:
                    # jq orders values of different types; here they are simply not alike.
                    yield False

    return look


def _select(wanted: Filter) -> Filter:
    return lambda value: (value for each in wanted(value) if _holds(each))


def _map(change: Filter) -> Filter:
    return lambda value: iter(([each for one in _each(value) for each in change(one)],))


def _simple(change: Callable[..., Any]) -> Callable[..., Filter]:
    """A function of the value and, where it has one, of each result of its argument."""

    def made(*arguments: Filter) -> Filter:
        def look(value: Any) -> Iterator[Any]:
            try:
                for given in zip(*(argument(value) for argument in arguments), strict=True) if arguments else ((),):
                    yield change(value, *given)
            except (TypeError, AttributeError, IndexError) as error:
                raise QueryError(str(error)) from None

        return look

    return made


_FUNCTIONS: dict[tuple[str, int], Callable[..., Filter]] = {
    ("select", 1): _select,
    ("map", 1): _map,
    ("empty", 0): lambda: lambda value: iter(()),
    ("not", 0): _simple(lambda value: not _holds(value)),
    ("length", 0): _simple(lambda value: 0 if value is None else len(value)),
    ("keys", 0): _simple(lambda value: sorted(value)),
    ("any", 0): _simple(lambda value: any(map(_holds, value))),
    ("all", 0): _simple(lambda value: all(map(_holds, value))),
    ("first", 0): _simple(lambda value: value[0]),
    ("last", 0): _simple(lambda value: value[-1]),
    ("has", 1): _simple(lambda value, name: name in value),
    ("test", 1): _simple(lambda value, pattern: re.search(pattern, value) is not None),
    ("startswith", 1): _simple(lambda value, text: value.startswith(text)),
    ("endswith", 1): _simple(lambda value, text: value.endswith(text)),
    ("tostring", 0): _simple(str),
    ("tonumber", 0): _simple(float),
}
