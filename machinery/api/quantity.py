"""Resource quantities (`500m`, `1Gi`): parsed, compared, added and written as the API writes them.

A value is an exact integer of nano-units, the smallest step that the API knows, so sums never round.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, total_ordering

_SHAPE = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$")
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]+)$")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIXES = ("", *_BINARY)
_DECIMAL_SUFFIXES = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_NANO = 10**9
_MAX = (2**63 - 1) * _NANO

_WRONG_SHAPE = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)  # fmt: skip
_WRONG_SUFFIX = "unable to parse quantity's suffix"


@total_ordering
@dataclass(frozen=True)
class Quantity:
    """An amount; `form` (decimal, binary or exponent) only says how it is written."""

    nanos: int
    form: str = "decimal"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nanos == other.nanos

    def __lt__(self, other: Quantity) -> bool:
        return self.nanos < other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos + other.nanos, self.form if self.nanos else other.form)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nanos - other.nanos, self.form if self.nanos else other.form)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nanos, self.form)

    def __bool__(self) -> bool:
        return self.nanos != 0

    @property
    def milli(self) -> int:
        """Thousandths, rounded away from zero."""
        return _divide_up(self.nanos, _NANO // 1000)

    @property
    def integer(self) -> int:
        """Whole units, rounded away from zero."""
        return _divide_up(self.nanos, _NANO)

    def __float__(self) -> float:
        return self.nanos / _NANO

    def __str__(self) -> str:
        if self.nanos == 0:
            return "0"
        if self.form == "binary" and abs(self.nanos) >= 1024 * _NANO:
            return _binary_text(self.integer)
        return _decimal_text(self.nanos, "exponent" if self.form == "exponent" else "decimal")


ZERO = Quantity(0)


@lru_cache(maxsize=4096)
def parse(text: str) -> Quantity:
    """The quantity that the text tells; raises ValueError in the API's words."""
    match = _SHAPE.match(text)
    if not text or match is None or not (match[2] or match[3]):
        raise ValueError(_WRONG_SHAPE if text else "quantities must not be empty")
    sign, whole, fraction, suffix = match[1], match[2], match[3] or "", match[4]
    digits, scale, form, factor = int(whole + fraction or "0"), -len(fraction), "decimal", 1
    if suffix in _BINARY:
        form, factor = "binary", 1024 ** _BINARY[suffix]
    elif suffix in _DECIMAL:
        scale += _DECIMAL[suffix]
    elif exponent := _EXPONENT.match(suffix):
        form, scale = "exponent", scale + int(exponent[1])
    else:
        raise ValueError(_WRONG_SUFFIX)
    nanos = min(_scaled(digits * factor, scale + 9), _MAX)
    if form == "binary" and nanos < _NANO:
        form = "decimal"
    return Quantity(-nanos if sign == "-" else nanos, form)


def milli(text: str) -> int:
    return parse(text).milli


def integer(text: str) -> int:
    return parse(text).integer


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """How a server writes the quantity: `1000m` is `1`, `0.5Gi` is `512Mi`."""
    return str(parse(text))


@lru_cache(maxsize=4096)
def canonical_milli(text: str) -> str:
    """The same of an amount that is rounded up to thousandths."""
    amount = parse(text)
    return str(Quantity(amount.milli * (_NANO // 1000), amount.form))


def of(value: str | int | float) -> Quantity:
    """The quantity of a JSON value, where a bare number is allowed."""
    return parse(value if isinstance(value, str) else repr(value))


def from_integer(value: int, form: str = "decimal") -> Quantity:
    return Quantity(value * _NANO, form)


def from_milli(value: int) -> Quantity:
    return Quantity(value * (_NANO // 1000))


def _scaled(digits: int, scale: int) -> int:
    if scale >= 0:
        # A huge exponent is only ever capped, so there is no need to build the number.
        return digits * int(10 ** min(scale, 60))
    # Anything asked for is more than nothing: round up to the smallest step.
    return _divide_up(digits, int(10 ** min(-scale, 400)))


def _divide_up(value: int, by: int) -> int:
    return -(-value // by) if value >= 0 else value // by


def _binary_text(value: int) -> str:
    power = 0
    while power < 6 and value % 1024 == 0:
        value, power = value // 1024, power + 1
    return f"{value}{_BINARY_SUFFIXES[power]}"


def _decimal_text(nanos: int, form: str) -> str:
    exponent = -9
    # `1000E` has no larger suffix, an exponent has no end.
    while nanos % 1000 == 0 and (form == "exponent" or exponent < 18):
        nanos, exponent = nanos // 1000, exponent + 3
    if form == "exponent":
        return f"{nanos}e{exponent}" if exponent else str(nanos)
    return f"{nanos}{_DECIMAL_SUFFIXES[exponent]}"
