"""Who makes a request: a client certificate, else a bearer token, else nobody (`system:anonymous`)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from apiserver.authn import secret_tokens
from apiserver.authn.certificates import CertificateAuthenticator
from apiserver.authn.tokens import ISSUER, Grant, Reference, TokenAuthenticator, TokenSigner
from apiserver.request import ANONYMOUS, User
from machinery.api.errors import Unauthorized
from machinery.api.resource import Object
from machinery.client.cache import Cache
from machinery.client.clock import Clock, SystemClock
from machinery.pki import Pki


class Authenticator:
    """Built on the cluster's PKI; ServiceAccounts are looked up in `cache`."""

    def __init__(self, pki: Pki, cache: Cache, *, issuer: str = ISSUER, clock: Clock | None = None) -> None:
        self.issuer = issuer
        self.audiences: tuple[str, ...] = (issuer,)
        self.clock: Clock = clock or SystemClock()
        self._pki = pki
        self._certificates = CertificateAuthenticator(pki.ca_pem)
        self._tokens = TokenAuthenticator(pki.service_account_key.public_key(), cache, issuer)
        self._signer = TokenSigner(pki.service_account_key, issuer)

    async def authenticate(self, headers: Mapping[str, str], peer_certificate_der: bytes | None) -> User:
        """The request's user; raises Unauthorized for credentials that are none."""
        if peer_certificate_der is not None:
            return self._certificates.authenticate(peer_certificate_der, self.clock.now())
        token = _bearer(headers)
        if token is None:
            return ANONYMOUS
        try:
            return self.verify_token(token)[0]
        except Unauthorized:
            # The answer must not tell a stranger which part of the token failed.
            raise Unauthorized("Unauthorized") from None

    def verify_token(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]]:
        """For TokenReview: the user and the audiences shared; the raised Unauthorized says what is wrong."""
        return self._tokens.authenticate(token, tuple(audiences) or self.audiences, self.clock.now())

    def issue_token(
        self,
        namespace: str,
        service_account: str,
        uid: str,
        *,
        audiences: Sequence[str] = (),
        expiration_seconds: int = 3600,
        bound: Mapping[str, Reference] | None = None,
    ) -> str:
        """A token for the account; `bound` names a `pod`, `secret` or `node` without which it is void."""
        grant = Grant(
            namespace,
            Reference(service_account, uid),
            tuple(audiences) or self.audiences,
            expiration_seconds,
            bound or {},
        )
        return self._signer.issue(grant, self.clock.now())

    def issue_for_secret(self, secret: Object, account: Object) -> str:
        """The token that the Secret is to hold for the account; void once either is gone, or holds another."""
        return secret_tokens.issue(self._pki.service_account_key, self._signer.key_id, secret, account)

    def openid_configuration(self) -> dict[str, object]:
        """The answer to `/.well-known/openid-configuration`."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def key_set(self) -> dict[str, object]:
        """The answer to `/openid/v1/jwks`: the keys with which anybody can check a token."""
        numbers = self._pki.service_account_key.public_key().public_numbers()
        key = {"use": "sig", "kty": "EC", "kid": self._signer.key_id, "crv": "P-256", "alg": "ES256"}
        return {"keys": [{**key, "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}]}


def _coordinate(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


def _bearer(headers: Mapping[str, str]) -> str | None:
    value = headers.get("Authorization") or headers.get("authorization") or ""
    scheme, _, token = value.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return None
    return token.strip()
