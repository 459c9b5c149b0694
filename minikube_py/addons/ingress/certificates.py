"""Certificates out of Secrets: nginx gets none that it would refuse, as one bad pair would stop all sites. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib

from machinery.api.resource import Object
from machinery.structs import Struct


class Certificate(Struct, frozen=True):
    """`pem` is the chain and its key in one; `name` follows from them."""

    name: str
    pem: bytes


def certificate(secret: Object) -> Certificate | str:
    """The Secret's pair, or what is wrong with it."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    data = secret.get("data") or {}
    try:
        chain, key = (base64.b64decode(data[name], validate=True) for name in ("tls.crt", "tls.key"))
    except KeyError as error:
        return f"it has no {error.args[0]}"
    except binascii.Error as error:
        return f"its data is no base64 ({error})"
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
        private = load_pem_private_key(key, None)
        is_pair = leaf.public_key().public_bytes(*form) == private.public_key().public_bytes(*form)
    except (ValueError, TypeError) as error:
        return f"it holds no certificate and key in PEM ({error})"
    if not is_pair:
        return "certificate and key are no pair"
    pem = chain.rstrip() + b"\n" + key.rstrip() + b"\n"
    return Certificate(f"c-{hashlib.sha256(pem).hexdigest()[:12]}", pem)
