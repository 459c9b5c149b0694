"""Service account tokens for pods, asked for once, kept in memory, renewed at 80 % of their life."""

from __future__ import annotations

from datetime import datetime, timedelta

from kubelet import podspec
from machinery.api.resource import Object
from machinery.api.resources import SERVICE_ACCOUNTS
from machinery.client.client import Client
from machinery.client.clock import Clock
from machinery.structs import Struct


class _Token(Struct, frozen=True):
    text: str
    renew_at: datetime


class Tokens:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._known: dict[tuple[str, str, int], _Token] = {}

    async def get(self, pod: Object, audience: str, seconds: int) -> str:
        key = (podspec.uid(pod), audience, seconds)
        known = self._known.get(key)
        if known is None or known.renew_at <= self._clock.now():
            known = self._known[key] = await self._request(pod, audience, seconds)
        return known.text

    def next_renewal(self, uid: str) -> datetime | None:
        return min((token.renew_at for key, token in self._known.items() if key[0] == uid), default=None)

    def forget(self, uid: str) -> None:
        for key in [key for key in self._known if key[0] == uid]:
            del self._known[key]

    async def _request(self, pod: Object, audience: str, seconds: int) -> _Token:
        reference = {"apiVersion": "v1", "kind": "Pod", "name": podspec.name(pod), "uid": podspec.uid(pod)}
        body: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": reference,
            },
        }
        account = pod["spec"].get("serviceAccountName") or "default"
        answer = await self._client.create(
            SERVICE_ACCOUNTS, body, podspec.namespace(pod), name=account, subresource="token"
        )
        status, now = answer["status"], self._clock.now()
        expires = datetime.fromisoformat(status["expirationTimestamp"])
        life = min(expires - now, timedelta(hours=24))
        return _Token(status["token"], now + life * 0.8)
