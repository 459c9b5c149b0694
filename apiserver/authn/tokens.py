"""ServiceAccount tokens: JWTs bound to the account and, if asked, to a pod, secret or node, by uid.

The signature is checked once a token; whether what it is bound to still exists is asked of the cache at every request.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from apiserver.authn import secret_tokens
from apiserver.authn.certificates import CREDENTIAL_ID
from apiserver.request import User
from machinery.api import names
from machinery.api.errors import Unauthorized
from machinery.api.resource import Object, Resource
from machinery.api.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from machinery.client.cache import Cache
from machinery.structs import Struct

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://kubernetes.default.svc.cluster.local"
# The kubelet asks for this odd lifetime; clients that never reload their token get a year, as upstream gives them.
KUBELET_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
_DELETION_GRACE = timedelta(seconds=60)
_KEPT = 4096
_BOUND: Mapping[str, Resource] = {"pod": PODS, "secret": SECRETS, "node": NODES}


class Reference(Struct, frozen=True):
    """An object as a token names it; the uid is "" for a pod's node that isn't known."""

    name: str
    uid: str


class Grant(Struct, frozen=True):
    """What a token is asked to say. `bound` may hold `pod`, `secret` and `node`."""

    namespace: str
    account: Reference
    audiences: tuple[str, ...]
    seconds: int
    bound: Mapping[str, Reference]


class Verified(Struct, frozen=True):
    """A genuine token. It may have ended, and what it is bound to may be gone: resource, namespace, reference, word."""

    not_before: float
    expires: float
    audiences: tuple[str, ...]
    user: User
    bound: Sequence[tuple[Resource, str, Reference, str]]
    in_secret: secret_tokens.SecretToken | None = None


class TokenSigner:
    """Makes tokens under the cluster's issuer."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, issuer: str = ISSUER) -> None:
        self._key = key
        self._issuer = issuer
        self.key_id = key_id(key.public_key())

    def issue(self, grant: Grant, now: datetime) -> str:
        import jwt

        begin = int(now.timestamp())
        private: dict[str, Any] = {"namespace": grant.namespace}
        lifetime = grant.seconds
        if grant.seconds == KUBELET_SECONDS and grant.audiences == (self._issuer,) and "pod" in grant.bound:
            lifetime = EXTENDED_SECONDS
            private["warnafter"] = begin + grant.seconds
        for kind, reference in grant.bound.items():
            private[kind] = _said(reference)
        private["serviceaccount"] = {"name": grant.account.name, "uid": grant.account.uid}
        claims = {
            "aud": list(grant.audiences),
            "exp": begin + lifetime,
            "iat": begin,
            "iss": self._issuer,
            "jti": names.uid(),
            "kubernetes.io": private,
            "nbf": begin,
            "sub": f"system:serviceaccount:{grant.namespace}:{grant.account.name}",
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self.key_id})


class TokenAuthenticator:
    """Bearer tokens of this cluster's key."""

    def __init__(self, key: ec.EllipticCurvePublicKey, cache: Cache, issuer: str = ISSUER) -> None:
        self._key = key
        self._cache = cache
        self._issuer = issuer
        self._verified: OrderedDict[bytes, Verified] = OrderedDict()

    def authenticate(self, token: str, audiences: Sequence[str], now: datetime) -> tuple[User, tuple[str, ...]]:
        """The token's user and those of `audiences` that it is for; raises Unauthorized, whose message says why."""
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        verified = self._verified.get(digest)
        if verified is None:
            verified = self._verify(token)
            self._verified[digest] = verified
            if len(self._verified) > _KEPT:
                self._verified.popitem(last=False)
        if not verified.not_before <= now.timestamp() < verified.expires:
            raise Unauthorized("service account token has expired")
        shared = tuple(audience for audience in audiences if audience in verified.audiences)
        if not shared:
            raise Unauthorized(f'token audiences "{list(verified.audiences)}" is invalid for the target audiences')
        for resource, namespace, reference, word in verified.bound:
            self._still_there(resource, namespace, reference, now, word)
        if verified.in_secret is not None and not verified.in_secret.is_held(self._cache, token):
            raise Unauthorized("Token has been invalidated")
        return verified.user, shared

    def _verify(self, token: str) -> Verified:
        import jwt

        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["ES256"],
                options={
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "require": ["iss", "sub"],
                },
            )
            if claims["iss"] == secret_tokens.ISSUER:
                return _in_secret(secret_tokens.read(claims), self._issuer)
            if claims["iss"] != self._issuer:
                raise Unauthorized("invalid bearer token")
            private = claims["kubernetes.io"]
            account = private["serviceaccount"]
            genuine = claims["sub"] == f"system:serviceaccount:{private['namespace']}:{account['name']}"
            if not genuine:
                raise Unauthorized("invalid bearer token")
            return _verified(claims)
        except (jwt.InvalidTokenError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
            raise Unauthorized("invalid bearer token") from None

    def _still_there(self, resource: Resource, namespace: str, reference: Reference, now: datetime, what: str) -> None:
        found = self._cache.get(resource, namespace, reference.name)
        if found is None or found["metadata"].get("uid") != reference.uid or _is_gone(found, now):
            raise Unauthorized(f"{what} {reference.name} has been deleted")


def _in_secret(said: secret_tokens.SecretToken, audience: str) -> Verified:
    account = Reference(said.account, said.account_uid)
    bound = [(SERVICE_ACCOUNTS, said.namespace, account, "service account")]
    user = service_account(said.namespace, account.name, account.uid)
    return Verified(0.0, math.inf, (audience,), user, bound, said)


def _verified(claims: Mapping[str, Any]) -> Verified:
    private = claims["kubernetes.io"]
    namespace, account = private["namespace"], _reference(private["serviceaccount"])
    bound = [(SERVICE_ACCOUNTS, namespace, account, "service account")]
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti"):
        extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
    for kind, resource in _BOUND.items():
        if private.get(kind) is None:
            continue
        reference = _reference(private[kind])
        # A token of a pod outlives its node's object, which comes and goes with the kubelet.
        if kind != "node" or "pod" not in private:
            bound.append((resource, namespace if resource.namespaced else "", reference, kind))
        if kind != "secret":
            extra[f"authentication.kubernetes.io/{kind}-name"] = (reference.name,)
            if reference.uid:
                extra[f"authentication.kubernetes.io/{kind}-uid"] = (reference.uid,)
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    user = service_account(namespace, account.name, account.uid, extra)
    return Verified(float(claims["nbf"]), float(claims["exp"]), tuple(audiences), user, bound)


def _reference(said: Mapping[str, str]) -> Reference:
    return Reference(said["name"], said.get("uid", ""))


def _said(reference: Reference) -> dict[str, str]:
    return {"name": reference.name, "uid": reference.uid} if reference.uid else {"name": reference.name}


def _is_gone(obj: Object, now: datetime) -> bool:
    deleted = obj["metadata"].get("deletionTimestamp")
    return bool(deleted) and datetime.fromisoformat(deleted) + _DELETION_GRACE < now


def service_account(
    namespace: str, name: str, uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None
) -> User:
    """The user as whom a ServiceAccount acts."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra or {})


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """The `kid` under which the key set publishes the key, as upstream derives it."""
    import base64

    from cryptography.hazmat.primitives import serialization

    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
