"""Users by client certificate: CN is the name, each O a group. The TLS layer has proved that the peer holds the key."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import datetime

from apiserver.request import User
from machinery.api.errors import Unauthorized
from machinery.structs import Struct

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_KEPT = 1024


class _Verified(Struct, frozen=True):
    user: User
    begins: datetime
    ends: datetime


class CertificateAuthenticator:
    """Certificates of `ca_pem`; each is parsed and verified once, its dates are checked at every request."""

    def __init__(self, ca_pem: bytes) -> None:
        from cryptography import x509

        self._ca = x509.load_pem_x509_certificate(ca_pem)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    def authenticate(self, der: bytes, now: datetime) -> User:
        """The certificate's user; raises Unauthorized."""
        known = self._verified.get(der)
        if known is None:
            known = self._verify(der)
            self._verified[der] = known
            if len(self._verified) > _KEPT:
                self._verified.popitem(last=False)
        if not known.begins <= now <= known.ends:
            raise Unauthorized("Unauthorized")
        return known.user

    def _verify(self, der: bytes) -> _Verified:
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        try:
            certificate = x509.load_der_x509_certificate(der)
            certificate.verify_directly_issued_by(self._ca)
            usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            names = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            groups = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            raise Unauthorized("Unauthorized") from None
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usages or not names or not names[-1]:
            raise Unauthorized("Unauthorized")
        user = User(
            names[-1],
            (*groups, "system:authenticated"),
            extra={CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)},
        )
        return _Verified(user, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
