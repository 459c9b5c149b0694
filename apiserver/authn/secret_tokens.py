"""Tokens that stand in Secrets: JWTs without an end, good while account and Secret are there and the Secret holds them.

Their issuer and claims are older than those of TokenRequest; clients read the account's name out of them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from machinery.api.resource import Object
from machinery.api.resources import SECRETS
from machinery.client.cache import Cache
from machinery.structs import Struct

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "kubernetes/serviceaccount"
_PREFIX = "kubernetes.io/serviceaccount/"


class SecretToken(Struct, frozen=True):
    """What such a token says."""

    namespace: str
    secret: str
    account: str
    account_uid: str

    def is_held(self, cache: Cache, token: str) -> bool:
        """Whether the Secret is there and has this token."""
        secret = cache.get(SECRETS, self.namespace, self.secret)
        if secret is None or secret["metadata"].get("deletionTimestamp"):
            return False
        held: str = (secret.get("data") or {}).get("token", "")
        return held == base64.b64encode(token.encode()).decode()


def issue(key: ec.EllipticCurvePrivateKey, key_id: str, secret: Object, account: Object) -> str:
    """The token for the account that the Secret is to hold."""
    import jwt

    namespace, name = secret["metadata"]["namespace"], account["metadata"]["name"]
    claims = {
        "iss": ISSUER,
        f"{_PREFIX}namespace": namespace,
        f"{_PREFIX}secret.name": secret["metadata"]["name"],
        f"{_PREFIX}service-account.name": name,
        f"{_PREFIX}service-account.uid": account["metadata"]["uid"],
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": key_id})


def read(claims: Mapping[str, Any]) -> SecretToken:
    """What genuine claims of this issuer say; raises KeyError where one is missing, ValueError where two differ."""
    said = SecretToken(
        *(
            str(claims[f"{_PREFIX}{name}"])
            for name in ("namespace", "secret.name", "service-account.name", "service-account.uid")
        )
    )
    if claims["sub"] != f"system:serviceaccount:{said.namespace}:{said.account}":
        raise ValueError("the subject is another account")
    return said
