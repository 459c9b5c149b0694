"""Why a text is not JSON, in the words of Go's decoder. Only looked at after a faster parser refused the text."""

from __future__ import annotations

import json

_MOST_SCANNED = 32 * 1024
_SPACE = " \t\r\n"
_LITERALS = {"t": "true", "f": "false", "n": "null"}
_END = "unexpected end of JSON input"


class _SyntaxError(Exception):
    pass


def syntax_error(body: bytes) -> str:
    """The complaint that Go's decoder would make; empty if it would make none."""
    if len(body) > _MOST_SCANNED:
        return _quick_error(body)
    scanner = _Scanner(body.decode("utf-8", "replace"))
    try:
        scanner.value("looking for beginning of value")
        scanner.space()
        if scanner.at < len(scanner.text):
            scanner.refuse("after top-level value")
    except _SyntaxError as error:
        return str(error)
    except RecursionError:
        return "exceeded max depth"
    return ""


def _quick_error(body: bytes) -> str:
    """As `syntax_error` for texts too long to be scanned here: the place is right, what came before it is a guess."""
    text = body.decode("utf-8", "replace")
    try:
        json.loads(text, parse_int=float)
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated") or error.pos >= len(text.rstrip(_SPACE)):
            return _END
        context = next((said for msg, said in _CONTEXTS.items() if error.msg.startswith(msg)), "in string literal")
        return f"invalid character {_quoted(text[error.pos])} {context}"
    except RecursionError:
        return "exceeded max depth"
    return ""


_CONTEXTS = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name": "looking for beginning of object key string",
    "Expecting ':'": "after object key",
    "Expecting ','": "after object key:value pair",
    "Extra data": "after top-level value",
    "Invalid \\": "in string escape code",
}


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def refuse(self, context: str) -> None:
        if self.at >= len(self.text):
            raise _SyntaxError(_END)
        raise _SyntaxError(f"invalid character {_quoted(self.text[self.at])} {context}")

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in _SPACE:
            self.at += 1

    def peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def value(self, context: str) -> None:
        self.space()
        match self.peek():
            case "{":
                self._object()
            case "[":
                self._array()
            case '"':
                self._string()
            case "t" | "f" | "n" as first:
                self._literal(_LITERALS[first])
            case char if char and char in "-0123456789":
                self._number()
            case _:
                self.refuse(context)

    def _object(self) -> None:
        self.at += 1
        self.space()
        if self.peek() == "}":
            self.at += 1
            return
        while True:
            self.space()
            if self.peek() != '"':
                self.refuse("looking for beginning of object key string")
            self._string()
            self.space()
            if self.peek() != ":":
                self.refuse("after object key")
            self.at += 1
            self.value("looking for beginning of value")
            if self._ends("}", "after object key:value pair"):
                return

    def _array(self) -> None:
        self.at += 1
        self.space()
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            self.value("looking for beginning of value")
            if self._ends("]", "after array element"):
                return

    def _ends(self, closing: str, context: str) -> bool:
        self.space()
        char = self.peek()
        if char != closing and char != ",":
            self.refuse(context)
        self.at += 1
        return char == closing

    def _string(self) -> None:
        self.at += 1
        while (char := self.peek()) != '"':
            if not char or char < " ":
                self.refuse("in string literal")
            self.at += 1
            if char == "\\":
                if not self.peek() or self.peek() not in '"\\/bfnrtu':
                    self.refuse("in string escape code")
                if self.peek() == "u":
                    for _ in range(4):
                        self.at += 1
                        if not self.peek() or self.peek() not in "0123456789abcdefABCDEF":
                            self.refuse("in \\u hexadecimal character escape")
                self.at += 1
        self.at += 1

    def _literal(self, word: str) -> None:
        for place, expected in enumerate(word):
            if self.peek() != expected:
                self.refuse(f"in literal {word} (expecting {_quoted(expected)})" if place else "")
            self.at += 1

    def _number(self) -> None:
        if self.peek() == "-":
            self.at += 1
            if not self.peek().isdigit():
                self.refuse("in numeric literal")
        if self.peek() == "0":
            self.at += 1
        else:
            self._digits()
        if self.peek() == ".":
            self.at += 1
            self._digits("after decimal point in numeric literal")
        if self.peek() and self.peek() in "eE":
            self.at += 1
            if self.peek() and self.peek() in "+-":
                self.at += 1
            self._digits("in exponent of numeric literal")

    def _digits(self, context: str = "") -> None:
        if context and not (self.peek().isascii() and self.peek().isdigit()):
            self.refuse(context)
        while self.peek().isascii() and self.peek().isdigit():
            self.at += 1


def _quoted(char: str) -> str:
    if char == "'":
        return r"'\''"
    if char == '"':
        return "'\"'"
    escapes = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\", "\b": r"\b", "\f": r"\f"}
    if char in escapes:
        return f"'{escapes[char]}'"
    if char < " " or char == "\x7f":
        return rf"'\x{ord(char):02x}'"
    return f"'{char}'"
