"""The part of Go's text/template in which stages write what an object becomes.

Actions, variables, pipelines, `if`, `range`, `with`, `break` and `continue`; not `define`, `template` and methods. A
template is compiled once into functions of a `Scope`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from machinery.structs import Struct, field
from minikube_py.simulation.template_functions import BUILT_IN, Functions, holds, written

_ACTION = re.compile(
    r"""\{\{(?P<left>-\s)?(?P<body>(?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^"`])*?)(?P<right>\s-)?\}\}""", re.DOTALL
)
_TOKEN = re.compile(
    r"""\s*(?P<token>"(?:[^"\\]|\\.)*"|`[^`]*`|-?\d+(?:\.\d+)?|\$\w*(?:\.\w+)*|(?:\.\w+)+|\.|\w+|:=|[=|(),])"""
)


class TemplateError(ValueError):
    """A template that can't be read, or not be filled in; the message says where."""


class _Break(Exception):  # noqa: N818 - not an error
    pass


class _Continue(Exception):  # noqa: N818 - not an error
    pass


class Scope(Struct):
    """The dot, the variables (inner before outer), and the functions of one run."""

    dot: Any
    functions: Functions
    variables: list[dict[str, Any]] = field(default_factory=list)

    def look(self, name: str) -> Any:
        return next((each[name] for each in reversed(self.variables) if name in each), None)

    def assign(self, name: str, value: Any) -> None:
        for each in reversed(self.variables):
            if name in each:
                each[name] = value
                return
        raise TemplateError(f"undefined variable {name}")

    def within(self, dot: Any) -> Scope:
        return Scope(dot, self.functions, [*self.variables, {}])


Value = Callable[[Scope], Any]
Node = Callable[[Scope, list[str]], None]


def template(text: str) -> Callable[[Any, Functions], str]:
    """What fills the template in for a value; raises TemplateError."""
    parser = _Parser(_pieces(text))
    body, end = parser.block()
    if end:
        raise TemplateError(f"unexpected {{{{{end}}}}}")

    def fill(value: Any, functions: Functions) -> str:
        out: list[str] = []
        _run(body, Scope(value, {**BUILT_IN, **functions}, [{"$": value}]), out)
        return "".join(out)

    return fill


def _pieces(text: str) -> list[tuple[str, bool]]:
    """The text cut into (text, False) and (action, True); markers trim the white space beside them."""
    found: list[tuple[str, bool]] = []
    at, trims = 0, False
    for match in _ACTION.finditer(text):
        before = text[at : match.start()]
        before = before.lstrip() if trims else before
        found.append((before.rstrip() if match["left"] else before, False))
        found.append((match["body"].strip(), True))
        at, trims = match.end(), bool(match["right"])
    rest = text[at:]
    if "{{" in rest:
        raise TemplateError(f"unclosed action: {rest[rest.index('{{') :][:40]!r}")
    return [*found, (rest.lstrip() if trims else rest, False)]


class _Parser:
    def __init__(self, pieces: Sequence[tuple[str, bool]]) -> None:
        self._pieces = pieces
        self._at = 0

    def block(self) -> tuple[list[Node], str]:
        """The nodes up to `end` or `else`, and which of these ends it ("" at the end of all)."""
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            text, is_action = self._pieces[self._at]
            self._at += 1
            if not is_action:
                if text:
                    nodes.append(_text(text))
                continue
            word = text.split(None, 1)[0] if text else ""
            if word in ("end", "else"):
                return nodes, text
            if not text.startswith("/*"):
                nodes.append(self._action(word, text))
        return nodes, ""

    def _action(self, word: str, text: str) -> Node:
        if word in ("if", "range", "with"):
            return self._branch(word, text.removeprefix(word))
        if word == "break":
            return _raise(_Break)
        if word == "continue":
            return _raise(_Continue)
        if word in ("define", "template", "block"):
            raise TemplateError(f"{{{{{word}}}}} is not understood here")
        names, is_new, value = _statement(text)
        return _assign(names[0], value, is_new=is_new) if names else _print(value)

    def _branch(self, word: str, text: str) -> Node:
        names, _, value = _statement(text)
        body, end = self.block()
        otherwise: list[Node] = []
        if end.startswith("else"):
            rest = end.removeprefix("else").strip()
            if rest:
                inner, _, condition = rest.partition(" ")
                otherwise = [self._branch(inner, f" {condition}")]
            else:
                otherwise, end = self.block()
        if not end:
            raise TemplateError(f"{{{{{word}}}}} without {{{{end}}}}")
        if word == "range":
            return _range(names, value, body, otherwise)
        return _if(names, value, body, otherwise, is_with=word == "with")


def _statement(text: str) -> tuple[list[str], bool, Value]:
    """(variables that take the value, whether they are new, the value)."""
    tokens = _tokens(text)
    names: list[str] = []
    for mark in (":=", "="):
        if mark in tokens:
            at = tokens.index(mark)
            names = [token for token in tokens[:at] if token != ","]
            return names, mark == ":=", _pipeline(tokens[at + 1 :])
    return names, False, _pipeline(tokens)


def _tokens(text: str) -> list[str]:
    found, at, text = [], 0, text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise TemplateError(f"{text[at:]!r} is not understood here")
        found.append(match["token"])
        at = match.end()
    if not found:
        raise TemplateError("missing value for command")
    return found


def _pipeline(tokens: list[str]) -> Value:
    parts: list[list[Value | str]] = [[]]
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token == "|":
            parts.append([])
        elif token == "(":
            close = _closing(tokens, at)
            inner = _pipeline(tokens[at + 1 : close])
            at = close
            if at + 1 < len(tokens) and tokens[at + 1].startswith(".") and len(tokens[at + 1]) > 1:
                at += 1
                inner = _chain(inner, tokens[at][1:].split("."))
            parts[-1].append(inner)
        else:
            parts[-1].append(_operand(token))
        at += 1
    return _piped([_command(part) for part in parts])


def _closing(tokens: list[str], at: int) -> int:
    depth = 0
    for index in range(at, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[index], 0)
        if not depth:
            return index
    raise TemplateError("unclosed left paren")


def _operand(token: str) -> Value | str:
    """A value, or the name of a function."""
    if token.startswith('"') or token.lstrip("-")[0].isdigit():
        constant = orjson.loads(token)
        return lambda scope: constant
    if token.startswith("`"):
        return lambda scope: token[1:-1]
    if token in _CONSTANTS:
        return lambda scope: _CONSTANTS[token]
    if token == ".":
        return lambda scope: scope.dot
    if token.startswith("."):
        return _chain(lambda scope: scope.dot, token[1:].split("."))
    if token.startswith("$"):
        name, *path = token.split(".")
        return _chain(lambda scope: scope.look(name), path)
    return token


_CONSTANTS = {"true": True, "false": False, "nil": None}


def _chain(value: Value, path: list[str]) -> Value:
    def look(scope: Scope) -> Any:
        found = value(scope)
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    return look


def _command(part: list[Value | str]) -> Callable[[Scope, tuple[Any, ...]], Any]:
    if not part:
        raise TemplateError("missing value for command")
    first, *rest = part
    # A name without arguments of its own is a call, too.
    arguments = [_piped([_command([each])]) if isinstance(each, str) else each for each in rest]
    if not isinstance(first, str):
        if arguments:
            raise TemplateError("can't give argument to non-function")
        value = first
        return lambda scope, piped: value(scope)
    name = first

    def call(scope: Scope, piped: tuple[Any, ...]) -> Any:
        function = scope.functions.get(name)
        if function is None:
            raise TemplateError(f'function "{name}" not defined')
        given = [argument(scope) for argument in arguments]
        try:
            return function(*given, *piped)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
            raise TemplateError(f"error calling {name}: {error}") from error

    return call


def _piped(commands: Sequence[Callable[[Scope, tuple[Any, ...]], Any]]) -> Value:
    def value(scope: Scope) -> Any:
        piped: tuple[Any, ...] = ()
        for command in commands:
            piped = (command(scope, piped),)
        return piped[0]

    return value


def _run(nodes: Sequence[Node], scope: Scope, out: list[str]) -> None:
    for node in nodes:
        node(scope, out)


def _text(text: str) -> Node:
    return lambda scope, out: out.append(text)


def _print(value: Value) -> Node:
    return lambda scope, out: out.append(written(value(scope)))


def _raise(what: type[Exception]) -> Node:
    def node(scope: Scope, out: list[str]) -> None:
        raise what

    return node


def _assign(name: str, value: Value, *, is_new: bool) -> Node:
    def node(scope: Scope, out: list[str]) -> None:
        if is_new:
            scope.variables[-1][name] = value(scope)
        else:
            scope.assign(name, value(scope))

    return node


def _if(names: list[str], value: Value, body: list[Node], otherwise: list[Node], *, is_with: bool) -> Node:
    def node(scope: Scope, out: list[str]) -> None:
        found = value(scope)
        inner = scope.within(found if is_with and holds(found) else scope.dot)
        for name in names:
            inner.variables[-1][name] = found
        _run(body if holds(found) else otherwise, inner, out)

    return node


def _range(names: list[str], value: Value, body: list[Node], otherwise: list[Node]) -> Node:
    def node(scope: Scope, out: list[str]) -> None:
        pairs = _ranged(value(scope))
        if not pairs:
            _run(otherwise, scope.within(scope.dot), out)
        for key, each in pairs:
            inner = scope.within(each)
            if names:
                inner.variables[-1] |= dict(zip(names, (key, each) if len(names) > 1 else (each,), strict=False))
            try:
                _run(body, inner, out)
            except _Continue:
                continue
            except _Break:
                break

    return node


def _ranged(found: Any) -> list[tuple[Any, Any]]:
    if isinstance(found, dict):
        return sorted(found.items())
    if isinstance(found, int) and not isinstance(found, bool):
        return [(index, index) for index in range(found)]
    if found is None or isinstance(found, list):
        return list(enumerate(found or ()))
    raise TemplateError(f"range can't iterate over {found!r}")
