"""Secrets of type service-account-token: filled with a token that lasts until they go, and gone with their account.

Who wants a token outside of pods for long asks by such a Secret (KEP-2799); pods get theirs by TokenRequest.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import datetime

from controllers.plan import Controller, Delete, Key, Plan, Update, key_of, nobody
from machinery.api.resource import Object
from machinery.api.resources import SECRETS, SERVICE_ACCOUNTS
from machinery.api.service_account_secrets import ACCOUNT, ACCOUNT_UID, TYPE
from machinery.client.cache import Cache, Change
from machinery.structs import Struct

Sign = Callable[[Object, Object], str]
"""(secret, account) -> the token that is good while both are there."""


class State(Struct, frozen=True):
    """`account` is the ServiceAccount that the Secret names, None where there is none, or another of that name."""

    secret: Object
    account: Object | None


def token_secrets(root_ca: str, sign: Sign) -> Controller:
    """`root_ca` (PEM) goes into each Secret, so that its holder knows the API server."""

    def plan(state: State, now: datetime) -> Plan:
        secret, metadata = state.secret, state.secret["metadata"]
        if metadata.get("deletionTimestamp"):
            return Plan()
        if state.account is None:
            return Plan([Delete(SECRETS, key_of(secret), uid=metadata["uid"])])
        data = dict(secret.get("data") or {})
        data["ca.crt"] = _encoded(root_ca)
        data["namespace"] = data.get("namespace") or _encoded(metadata["namespace"])
        data["token"] = data.get("token") or _encoded(sign(secret, state.account))
        annotations = {**(metadata.get("annotations") or {}), ACCOUNT_UID: state.account["metadata"]["uid"]}
        if data == secret.get("data") and annotations == metadata.get("annotations"):
            return Plan()
        return Plan([Update(SECRETS, {**secret, "metadata": {**metadata, "annotations": annotations}, "data": data})])

    return Controller(
        "serviceaccount-token",
        wakes={SECRETS: _itself, SERVICE_ACCOUNTS: nobody},
        observe=observe,
        plan=plan,
        related=_secrets_of,
    )


def observe(cache: Cache, key: Key) -> State | None:
    secret = cache.get(SECRETS, key.namespace, key.name)
    if secret is None or not _account(secret):
        return None
    account = cache.get(SERVICE_ACCOUNTS, key.namespace, _account(secret))
    uid = (secret["metadata"].get("annotations") or {}).get(ACCOUNT_UID)
    is_another = account is not None and bool(uid) and account["metadata"]["uid"] != uid
    return State(secret, None if is_another else account)


def _account(secret: Object) -> str:
    """The account's name where the Secret is one for a token; else empty."""
    annotations = secret["metadata"].get("annotations") or {}
    return str(annotations.get(ACCOUNT, "")) if secret.get("type") == TYPE else ""


def _itself(secret: Object) -> Iterable[Key]:
    return [key_of(secret)] if _account(secret) else []


def _secrets_of(cache: Cache, change: Change) -> Iterable[Key]:
    """An account that comes or goes concerns the Secrets that name it."""
    if change.resource != SERVICE_ACCOUNTS:
        return []
    namespace, name = key_of(change.object)[:2]
    return [key_of(each) for each in cache.list(SECRETS, namespace) if _account(each) == name]


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
