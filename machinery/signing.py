"""Certificates for requests that others made (PKCS #10), as `certificates.k8s.io` signers give them.

Subject and alternative names are the request's; what the key may be used for the CertificateSigningRequest says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from machinery.pki import Authority

_BACKDATED = timedelta(minutes=5)
LONGEST = timedelta(days=365)
_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": ObjectIdentifier("2.16.840.1.113730.4.1"),
}


def signed(
    authority: Authority,
    request: x509.CertificateSigningRequest,
    usages: Sequence[str],
    now: datetime,
    lifetime: timedelta | None = None,
) -> bytes:
    """The certificate in PEM; it lives a year or `lifetime`, whichever is shorter, and never longer than the CA.

    Raises ValueError where the request can't be signed.
    """
    ends = min(now + min(lifetime or LONGEST, LONGEST), authority.certificate.not_valid_after_utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    for extension, critical in _extensions(request, usages):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _extensions(
    request: x509.CertificateSigningRequest, usages: Sequence[str]
) -> Sequence[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    asked = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    if asked:
        # "encipher only" says of an agreed key what it is for, and means nothing without one.
        allowed = asked if "key_agreement" in asked else asked - {"encipher_only", "decipher_only"}
        found.append((x509.KeyUsage(**{name: name in allowed for name in set(_KEY_USAGES.values())}), True))
    extended = list(dict.fromkeys(_EXTENDED[usage] for usage in usages if usage in _EXTENDED))
    if extended:
        found.append((x509.ExtendedKeyUsage(extended), False))
    names = alternative_names(request)
    if names is not None:
        found.append((names, not request.subject))
    return found


def alternative_names(request: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
