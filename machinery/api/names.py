"""What names, labels and the like may look like, and what the API says of those that may not.

Every check gives a list of complaints in upstream's words, empty where the value is sound.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import lru_cache, wraps

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_SEARCH_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SEARCH = _SEARCH_LABEL + r"(\." + _SEARCH_LABEL + ")*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = "(" + _QUALIFIED + ")?"
_PORT = "(?=.*[a-z])(?!.*--)(?!-)[-a-z0-9]{1,15}(?<!-)"
_PERCENT = "[0-9]+%"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_VARIABLE = "[ -<>-~]+"

_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
    " and must start and end with an alphanumeric character"
)
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
    " and must start and end with an alphanumeric character"
)
_SEARCH_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.',"
    " and must start and end with an alphanumeric character"
)
_LABEL_1035_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-',"
    " start with an alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_WORDS = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.',"
    " and must start and end with an alphanumeric character"
)
_PERCENT_WORDS = "a valid percent string must be a numeric string followed by an ending '%'"
_CONFIG_KEY_WORDS = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_PORT_WORDS = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"


Judge = Callable[[str], list[str]]

_LONGEST = 253 + 1 + 63
"""Of any sound name: that of a label with its domain."""


def _remembered(judge: Judge) -> Judge:
    """The same names come again and again; what is longer than any sound one is not worth the memory."""
    known = lru_cache(maxsize=2048)(lambda name: tuple(judge(name)))

    @wraps(judge)
    def judged(name: str) -> list[str]:
        return [*known(name)] if len(name) <= _LONGEST else judge(name)

    return judged


# Of its own, as tests seed the shared one. Asking the kernel for each would let go of the interpreter's lock.
_random = random.Random()


def random_suffix(length: int = 5) -> str:
    """A random tail for generated names; no vowels, so that it spells nothing."""
    return "".join(random.choices(_SUFFIX_ALPHABET, k=length))


def uid() -> str:
    """A random UUID (RFC 9562, version 4), at a fraction of what `uuid.uuid4` takes."""
    digits = f"{_random.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def generated(prefix: str) -> str:
    """A name for `generateName`, cut so that the whole stays within 63 characters."""
    return prefix[: 63 - 5] + random_suffix()


def extended(prefix: str) -> str:
    """A prefix as it is judged: whatever ends in a dash becomes valid by what is added to it."""
    return f"{prefix[:-2]}a" if prefix.endswith("-") and len(prefix) > 1 else prefix


@_remembered
def dns_label(name: str) -> list[str]:
    complaints = [too_long(63)] if _size(name) > 63 else []
    if not _matches(_LABEL, name):
        is_only_dotted = _matches(_SUBDOMAIN, name)
        words = _regex_words(_LABEL_WORDS, _LABEL, "my-name", "123-abc")
        complaints.append("must not contain dots" if is_only_dotted else words)
    return complaints


@_remembered
def dns_subdomain(name: str) -> list[str]:
    return _check(name, 253, _SUBDOMAIN, _SUBDOMAIN_WORDS, "example.com")


def dns_search(name: str) -> list[str]:
    """A DNS search domain, in which underscores are allowed."""
    return _check(name, 253, _SEARCH, _SEARCH_WORDS, "example.com")


def http_header_name(name: str) -> list[str]:
    words = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return _check(name, None, "[-A-Za-z0-9]+", words, "X-Header-Name")


@_remembered
def dns1035_label(name: str) -> list[str]:
    return _check(name, 63, _LABEL_1035, _LABEL_1035_WORDS, "my-name", "abc-123")


@_remembered
def label_value(value: str) -> list[str]:
    return _check(value, 63, _VALUE, _VALUE_WORDS, "MyValue", "my_value", "12345", unit="bytes")


@_remembered
def qualified_name(name: str) -> list[str]:
    """Keys of labels and annotations, taints, resources: `name` or `domain/name`."""
    parts = name.split("/")
    complaints: list[str] = []
    if len(parts) > 2:
        said = _regex_words(_QUALIFIED_WORDS, _QUALIFIED, "MyName", "my.name", "123-abc")
        return [f"a valid label key {said} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if len(parts) == 2:
        if not parts[0]:
            complaints.append("prefix part must be non-empty")
        else:
            said_of_prefix = _check(parts[0], 253, _SUBDOMAIN, _SUBDOMAIN_WORDS, "example.com", unit="bytes")
            complaints += [f"prefix part {said}" for said in said_of_prefix]
    tail = parts[-1]
    if not tail:
        complaints.append("name part must be non-empty")
    elif _size(tail) > 63:
        complaints.append(f"name part {too_long(63, 'bytes')}")
    if not _matches(_QUALIFIED, tail):
        words = _regex_words(_QUALIFIED_WORDS, _QUALIFIED, "MyName", "my.name", "123-abc")
        complaints.append(f"name part {words}")
    return complaints


def path_segment(name: str) -> list[str]:
    """Names of RBAC objects and others that only must fit in a URL path."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in name]


@_remembered
def config_key(name: str) -> list[str]:
    """Keys of ConfigMaps and Secrets."""
    complaints = _check(name, 253, _CONFIG_KEY, _CONFIG_KEY_WORDS, "key.name", "KEY_NAME", "key-name")
    return complaints + _no_dots(name)


@_remembered
def environment_variable_name(name: str) -> list[str]:
    """Names of environment variables: printable ASCII without `=` since relaxed validation."""
    if not name:
        return ["environment variable name must be non-empty"]
    if not _matches(_VARIABLE, name):
        return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    return []


def c_identifier(name: str) -> list[str]:
    words = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric"
    return _check(name, None, _C_IDENTIFIER, words + " characters or '_'", "my_name", "MY_NAME", "MyName")


@_remembered
def port_name(name: str) -> list[str]:
    """IANA_SVC_NAME: container ports and named target ports."""
    if _matches(_PORT, name):
        return []
    complaints: list[str] = []
    if _size(name) > 15:
        complaints.append("must be no more than 15 characters")
    if not _matches("[-a-z0-9]+", name):
        complaints.append(_PORT_WORDS)
    if not re.search("[a-z]", name):
        complaints.append("must contain at least one letter (a-z)")
    if "--" in name:
        complaints.append("must not contain consecutive hyphens")
    if name[:1] == "-" or name[-1:] == "-":
        complaints.append("must not begin or end with a hyphen")
    return complaints


def port_number(port: int) -> list[str]:
    return [] if 1 <= port <= 65535 else ["must be between 1 and 65535, inclusive"]


def percent(text: str) -> list[str]:
    return _check(text, None, _PERCENT, _PERCENT_WORDS, "1%", "93%")


def wildcard_subdomain(name: str) -> list[str]:
    words = (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain,"
        " which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
    )
    return _check(name, 253, r"\*\." + _SUBDOMAIN, words, "*.example.com")


def too_long(limit: int, unit: str = "characters") -> str:
    """Upstream counts bytes everywhere, but calls them so in labels alone."""
    return f"must be no more than {limit} {unit}"


def _size(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode())


def _check(
    value: str, limit: int | None, pattern: str, words: str, *examples: str, unit: str = "characters"
) -> list[str]:
    complaints = [too_long(limit, unit)] if limit is not None and _size(value) > limit else []
    if not _matches(pattern, value):
        complaints.append(_regex_words(words, pattern, *examples))
    return complaints


def _matches(pattern: str, value: str) -> bool:
    # fullmatch, as `$` would let a final newline pass.
    return re.fullmatch(pattern, value) is not None


def _regex_words(words: str, pattern: str, *examples: str) -> str:
    # The odd double space between examples is upstream's.
    shown = ", ".join(f"'{example}'" if at == 0 else f" or '{example}'" for at, example in enumerate(examples))
    return f"{words} (e.g. {shown}, regex used for validation is '{pattern}')"


def _no_dots(name: str) -> list[str]:
    if name in (".", ".."):
        return [f"must not be '{name}'"]
    return ["must not start with '..'"] if name.startswith("..") else []
