"""Service account tokens of pods: asked for once, renewed at 80 % of their life, of a day at most."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

from kubelet.tokens import Tokens
from machinery.api.resource import Object, Resource
from machinery.client.client import Client

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POD: Object = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"serviceAccountName": "a"}}


class Time:
    """The clock of a test."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)

    def awake_since(self) -> datetime:
        return self.moment

    def wake_on_jump(self, event: asyncio.Event) -> None:
        """Nobody waits for it."""


class Issuer:
    """Answers TokenRequests with tokens that are numbered, and as long-lived as they were asked for."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self.asked: list[Object] = []

    async def create(self, resource: Resource, obj: Object, namespace: str, *, name: str, subresource: str) -> Object:
        assert (resource.plural, namespace, name, subresource) == ("serviceaccounts", "ns", "a", "token")
        self.asked.append(obj["spec"])
        expires = self._time.moment + timedelta(seconds=obj["spec"]["expirationSeconds"])
        return {"status": {"token": f"t{len(self.asked)}", "expirationTimestamp": expires.isoformat()}}


def tokens() -> tuple[Tokens, Issuer, Time]:
    time = Time()
    issuer = Issuer(time)
    return Tokens(cast(Client, issuer), time), issuer, time


async def test_a_token_is_bound_to_its_pod_and_asked_for_once() -> None:
    found, issuer, _ = tokens()
    assert [await found.get(POD, "", 3600), await found.get(POD, "", 3600)] == ["t1", "t1"]
    assert await found.get(POD, "vault", 3600) == "t2"
    assert issuer.asked[0]["boundObjectRef"] == {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    assert [asked["audiences"] for asked in issuer.asked] == [[], ["vault"]]


async def test_it_is_renewed_before_it_expires() -> None:
    found, issuer, time = tokens()
    await found.get(POD, "", 3600)
    assert found.next_renewal("u") == NOW + timedelta(seconds=2880)
    await time.sleep(2879)
    assert await found.get(POD, "", 3600) == "t1"
    await time.sleep(1)
    assert await found.get(POD, "", 3600) == "t2"
    assert len(issuer.asked) == 2


async def test_a_token_of_a_year_is_renewed_within_a_day() -> None:
    found, _, _ = tokens()
    await found.get(POD, "", 365 * 86400)
    assert found.next_renewal("u") == NOW + timedelta(hours=19.2)


async def test_a_pod_that_is_gone_leaves_none() -> None:
    found, issuer, _ = tokens()
    await found.get(POD, "", 3600)
    found.forget("u")
    assert found.next_renewal("u") is None
    await found.get(POD, "", 3600)
    assert len(issuer.asked) == 2
