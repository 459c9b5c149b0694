"""Label and field selectors: what `-l` and `--field-selector` say, and what controllers select by."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import orjson

from machinery.api import names
from machinery.api.errors import BadRequest
from machinery.structs import Struct

_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!<>(),])|([^=!<>(), \t\r\n]+))")
_INTEGER = re.compile("[+-]?[0-9]+")
_OPERATORS = {"in": "in", "notin": "notin", "=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt"}


class Requirement(Struct, frozen=True):
    """`operator` is one of in, notin, =, ==, !=, exists, !, gt, lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "in" | "=" | "==":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case _:
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        left, right = _integer(value), _integer(self.values[0])
        if left is None or right is None:
            return False
        return left > right if self.operator == "gt" else left < right

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case _:
                sign = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
                return f"{self.key}{sign}{self.values[0]}"


def _integer(text: str) -> int | None:
    """The number of 64 bits that the text tells, as Go reads it."""
    if not _INTEGER.fullmatch(text) or not -(1 << 63) <= int(text) < 1 << 63:
        return None
    return int(text)


class LabelSelector(Struct, frozen=True):
    """All requirements must hold; without any everything matches, unless it selects `nothing`."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        return not self.nothing and all(requirement.matches(labels or {}) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


class FieldRequirement(Struct, frozen=True):
    """`operator` is = or !=."""

    field: str
    operator: str
    value: str


class FieldSelector(Struct, frozen=True):
    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, getter: Callable[[str], str]) -> bool:
        """Whether the object does, whose fields `getter` gives as strings, empty where absent."""
        return all(
            (getter(requirement.field) == requirement.value) == (requirement.operator == "=")
            for requirement in self.requirements
        )

    def exact(self, field: str) -> str | None:
        """The one value that the field must have, if the selector says so."""
        for requirement in self.requirements:
            if requirement.field == field and requirement.operator == "=":
                return requirement.value
        return None

    def __str__(self) -> str:
        return ",".join(f"{one.field}{one.operator}{_escaped(one.value)}" for one in self.requirements)


@lru_cache(maxsize=512)
def parse_labels(text: str) -> LabelSelector:
    """The selector in the query's grammar; raises BadRequest in upstream's words."""
    try:
        return LabelSelector(_Parser(text).parse())
    except ValueError as error:
        raise BadRequest(str(error)) from error


@lru_cache(maxsize=512)
def parse_fields(text: str) -> FieldSelector:
    """The selector of `field=value,field!=value`; raises BadRequest in upstream's words."""
    requirements = []
    for term in sorted(_split(text)):
        match = re.match(r"(.*?)(==|!=|=)(.*)$", term, re.DOTALL)
        if match is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = "!=" if match[2] == "!=" else "="
        requirements.append(FieldRequirement(match[1], operator, _unescaped(match[3])))
    return FieldSelector(tuple(requirements))


def from_label_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector of a `LabelSelector` object: none selects nothing, an empty one everything."""
    if selector is None:
        return LabelSelector(nothing=True)
    requirements = [
        Requirement(key, "=", (value,)) for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    for expression in selector.get("matchExpressions") or ():
        operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}
        operator = operators.get(expression.get("operator", ""))
        if operator is None:
            raise BadRequest(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        requirements.append(Requirement(expression["key"], operator, tuple(expression.get("values") or ())))
    return LabelSelector(tuple(requirements))


def stored_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """As `from_label_selector`, but one that makes no sense selects nothing: how upstream looks at others' objects."""
    try:
        return from_label_selector(selector)
    except BadRequest:
        return LabelSelector(nothing=True)


def from_labels(labels: Mapping[str, str] | None) -> LabelSelector:
    """The selector of a plain map, as in Services and ReplicationControllers: none selects nothing."""
    if not labels:
        return LabelSelector(nothing=True)
    return LabelSelector(tuple(Requirement(key, "=", (value,)) for key, value in sorted(labels.items())))


class _Parser:
    """Upstream's recursive descent, so that the complaints are its own."""

    def __init__(self, text: str) -> None:
        self._tokens = [symbol or word for symbol, word in _TOKEN.findall(text)]
        self._at = 0

    def parse(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while token := self._peek():
            if not self._begins(token):
                raise ValueError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from error
            token = self._next()
            if not token:
                break
            if token != ",":
                raise ValueError(f"found '{token}', expected: ',' or 'end of string'")
            if not self._begins(self._peek()):
                raise ValueError(f"found '{self._peek()}', expected: identifier after ','")
        return tuple(sorted(found, key=lambda requirement: requirement.key))

    def _requirement(self) -> Requirement:
        negated = self._peek() == "!" and bool(self._next())
        key = self._next()
        if not self._is_word(key):
            raise ValueError(f"found '{key}', expected: identifier")
        if complaints := names.qualified_name(key):
            raise ValueError(f"<nil>: Invalid value: {_quoted(key)}: {'; '.join(complaints)}")
        if negated:
            return Requirement(key, "!")
        if self._peek() in ("", ","):
            return Requirement(key, "exists")
        operator = self._next()
        if operator not in _OPERATORS:
            raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._values() if operator in ("in", "notin") else (self._exact(),)
        return self._checked(Requirement(key, _OPERATORS[operator], values))

    def _checked(self, requirement: Requirement) -> Requirement:
        said = []
        if requirement.operator in ("gt", "lt") and _integer(requirement.values[0]) is None:
            detail = "for 'Gt', 'Lt' operators, the value must be an integer"
            said.append(f"values[0]: Invalid value: {_quoted(requirement.values[0])}: {detail}")
        for at, value in enumerate(requirement.values):
            if complaints := names.label_value(value):
                said.append(
                    f"values[{at}][{requirement.key}]: Invalid value: {_quoted(value)}: {'; '.join(complaints)}"
                )
        if said:
            raise ValueError(said[0] if len(said) == 1 else f"[{', '.join(said)}]")
        return requirement

    def _values(self) -> tuple[str, ...]:
        """The values of a set in their order; one that is empty holds the empty value."""
        if (opening := self._next()) != "(":
            raise ValueError(f"found '{opening}' expected: '('")
        token = self._peek()
        if token == ")":
            self._next()
            return ("",)
        if token != "," and not self._is_word(token):
            raise ValueError(f"found '{token}', expected: ',', ')' or identifier")
        found = self._listed()
        self._next()
        return tuple(sorted(found))

    def _listed(self) -> set[str]:
        """What is listed up to the closing parenthesis: nothing before, between or after commas is the empty value."""
        found: set[str] = set()
        while True:
            token = self._next()
            if self._is_word(token):
                found.add(token)
                if self._peek() == ")":
                    return found
                if self._peek() != ",":
                    raise ValueError(f"found '{self._peek()}', expected: ',' or ')'")
            elif token == ",":
                if not found or self._peek() in (")", ","):
                    found.add("")
                if self._peek() == ")":
                    return found
            else:
                raise ValueError(f"found '{token}', expected: ',', or identifier")

    def _exact(self) -> str:
        if self._peek() in ("", ","):
            return ""
        token = self._next()
        if not self._is_word(token):
            raise ValueError(f"found '{token}', expected: identifier")
        return token

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _begins(self, token: str) -> bool:
        """Whether a requirement may begin so."""
        return token == "!" or self._is_word(token)

    @staticmethod
    def _is_word(token: str) -> bool:
        return bool(token) and token[0] not in "=!<>(),"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _split(text: str) -> list[str]:
    return re.findall(r"(?:[^\\,]|\\.|\\$)+", text, re.DOTALL)


def _escaped(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)


def _unescaped(value: str) -> str:
    """The literal value; raises BadRequest for what upstream wants escaped, and for escapes that it does not know."""

    def literal(found: re.Match[str]) -> str:
        text = found[0]
        if text in (",", "="):
            raise BadRequest(f"invalid field selector: unescaped character in value: {ord(text)}")
        if text[1:] not in ("\\", ",", "="):
            raise BadRequest(f"invalid field selector: invalid escape sequence: {text}")
        return text[1:]

    return re.sub(r"\\(?:.|$)|[,=]", literal, value, flags=re.DOTALL)
