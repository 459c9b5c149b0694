"""Names that are more than one word: paths under a domain, and whole domains (apimachinery's validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apiserver.rules.field_errors import all_of, invalid_value, required, too_long
from machinery.api import names
from machinery.api.errors import Cause

_LONGEST_DOMAIN, _LONGEST_SIGNER = 253, 571
_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"


def domain_path_errors(text: str, path: str) -> Iterator[Cause]:
    """`acme.io/foo`: each part is complained of by itself."""
    domain, _, rest = text.partition("/")
    if not text:
        yield required(path)
    elif not domain or not rest:
        yield invalid_value(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        yield from all_of(path, domain, names.dns_subdomain(domain))
        if not re.fullmatch(_PATH, rest):
            yield invalid_value(path, rest, f"Invalid path (regex used for validation is '{_PATH}')")


def signer_name_errors(text: str, path: str) -> Iterator[Cause]:
    """`example.com/signer-name`: who signs certificates."""
    domain, _, name = text.partition("/")
    if not text:
        yield required(path)
        return
    if text.count("/") != 1:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield invalid_value(path, text, detail)
        return
    if len(domain) > _LONGEST_DOMAIN:
        yield too_long(path, _LONGEST_DOMAIN)
    for label in domain.split("."):
        yield from all_of(path, domain, [f'validating label "{label}": {said}' for said in names.dns_label(label)])
    if "." not in domain:
        yield invalid_value(path, domain, "should be a domain with at least two segments separated by dots")
    for label in name.split("."):
        yield from all_of(path, name, [f'validating label "{label}": {said}' for said in names.dns_subdomain(label)])
    if len(text) > _LONGEST_SIGNER:
        yield too_long(path, _LONGEST_SIGNER)


def domain_errors(text: str, path: str, *, least: int, words: str) -> Iterator[Cause]:
    """A domain of at least so many parts; a last dot is no part."""
    bare = text.removesuffix(".")
    if not text:
        yield required(path)
    elif complaints := names.dns_subdomain(bare):
        yield from all_of(path, bare, complaints)
    elif bare.count(".") + 1 < least:
        yield invalid_value(path, bare, f"should be a domain with at least {words} segments separated by dots")


def plain_finalizer_errors(name: str, path: str) -> Iterator[Cause]:
    """A finalizer without a domain is one of those that the server itself knows."""
    if "/" not in name and name not in _FINALIZERS:
        yield invalid_value(path, name, "name is neither a standard finalizer name nor is it fully qualified")
