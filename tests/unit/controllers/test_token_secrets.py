"""Secrets for the tokens of ServiceAccounts: when they are filled, and when they go."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from controllers.plan import Delete, Key, Plan, Update
from controllers.token_secrets import token_secrets
from machinery.api.resource import Object
from machinery.api.resources import SECRETS, SERVICE_ACCOUNTS
from machinery.client.cache import Change
from tests.known import Known

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
CONTROLLER = token_secrets("CA", lambda secret, account: f"token of {account['metadata']['name']}")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


WHOLE = {"ca.crt": encoded("CA"), "namespace": encoded("n"), "token": encoded("token of bot")}


def a_secret(data: Object | None = None, *, uid: str = "", **more: Any) -> Object:
    annotations = {NAME: "bot", **({UID: uid} if uid else {})}
    metadata = {"name": "t", "namespace": "n", "uid": "t-uid", "annotations": annotations, **more}
    kind = "kubernetes.io/service-account-token"
    return {"kind": "Secret", "metadata": metadata, "type": kind, **({"data": data} if data is not None else {})}


def an_account(uid: str = "bot-uid") -> Object:
    return {"kind": "ServiceAccount", "metadata": {"name": "bot", "namespace": "n", "uid": uid}}


def planned(secret: Object, account: Object | None) -> Plan:
    cache = Known((SECRETS, secret), *([(SERVICE_ACCOUNTS, account)] if account else []))
    return CONTROLLER.plan(CONTROLLER.observe(cache, Key("n", "t")), NOW)


@pytest.mark.parametrize(
    ("secret", "data"),
    [
        (a_secret(), WHOLE),
        (a_secret({"extra": "eA=="}), {**WHOLE, "extra": "eA=="}),
        # What is there stays, but for another authority's certificate.
        (a_secret({**WHOLE, "ca.crt": encoded("old")}, uid="bot-uid"), WHOLE),
        (a_secret({"token": encoded("own")}, uid="bot-uid"), {**WHOLE, "token": encoded("own")}),
        (a_secret(WHOLE), WHOLE),
    ],
)
def test_a_secret_is_filled(secret: Object, data: Object) -> None:
    (action,) = planned(secret, an_account()).actions
    assert isinstance(action, Update)
    assert action.obj["data"] == data
    assert action.obj["metadata"]["annotations"] == {NAME: "bot", UID: "bot-uid"}


@pytest.mark.parametrize("secret", [a_secret(WHOLE, uid="bot-uid"), a_secret(deletionTimestamp="2026-01-01T00:00:00Z")])
def test_a_whole_secret_and_one_that_goes_are_left_alone(secret: Object) -> None:
    assert not planned(secret, an_account()).actions


@pytest.mark.parametrize("account", [None, an_account("another-uid")])
def test_a_secret_goes_with_its_account(account: Object | None) -> None:
    assert planned(a_secret(WHOLE, uid="bot-uid"), account).actions == [Delete(SECRETS, Key("n", "t"), uid="t-uid")]


def test_other_secrets_are_not_its_business_and_an_account_wakes_its_own() -> None:
    opaque = {**a_secret(), "type": "Opaque"}
    assert CONTROLLER.observe(Known((SECRETS, opaque)), Key("n", "t")) is None
    assert list(CONTROLLER.wakes[SECRETS](opaque)) == []
    cache = Known((SECRETS, a_secret()))
    assert CONTROLLER.related is not None
    assert list(CONTROLLER.related(cache, Change(SERVICE_ACCOUNTS, None, an_account()))) == [Key("n", "t")]
    assert list(CONTROLLER.related(cache, Change(SECRETS, None, a_secret()))) == []
