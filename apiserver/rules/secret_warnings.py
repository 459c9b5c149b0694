"""What upstream warns of in a Secret: a certificate and a key of TLS that don't belong together, in the words of Go."""

from __future__ import annotations

import base64
import re

from machinery.api.resource import Object

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def secret_warnings(secret: Object) -> list[str]:
    if secret.get("type") != "kubernetes.io/tls":
        return []
    data = secret.get("data") or {}
    certificate, key = (base64.b64decode(data.get(name) or "") for name in ("tls.crt", "tls.key"))
    complaint = _certificate_complaint(_kinds(certificate)) or _key_complaint(_kinds(key))
    complaint = complaint or _pair_complaint(certificate, key)
    return [complaint] if complaint else []


def _kinds(pem: bytes) -> list[str]:
    return [match[1].decode() for match in _BLOCK.finditer(pem)]


def _certificate_complaint(kinds: list[str]) -> str:
    if "CERTIFICATE" in kinds:
        return ""
    if not kinds:
        return "tls: failed to find any PEM data in certificate input"
    if len(kinds) == 1 and kinds[0].endswith("PRIVATE KEY"):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may"
            " have been switched"
        )
    found = f"after skipping PEM blocks of the following types: [{' '.join(kinds)}]"
    return f'tls: failed to find "CERTIFICATE" PEM block in certificate input {found}'


def _key_complaint(kinds: list[str]) -> str:
    if any(kind.endswith("PRIVATE KEY") for kind in kinds):
        return ""
    if not kinds:
        return "tls: failed to find any PEM data in key input"
    if kinds == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    found = f"after skipping PEM blocks of the following types: [{' '.join(kinds)}]"
    return f'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input {found}'


def _pair_complaint(certificate: bytes, key: bytes) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError:
        return "x509: malformed certificate"
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return "tls: failed to parse private key"
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    is_pair = private.public_key().public_bytes(*form) == public.public_bytes(*form)
    return "" if is_pair else "tls: private key does not match public key"
