"""A Secret for a ServiceAccount's token beside the real API server: it is filled, its token is somebody's, it goes."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from controllers.runner import run_each
from controllers.token_secrets import token_secrets
from machinery.api.errors import Forbidden, Unauthorized
from machinery.api.resources import NAMESPACES, PODS, SECRETS, SERVICE_ACCOUNTS
from machinery.client.client import Client
from machinery.client.clock import SystemClock
from machinery.client.credentials import Credentials
from machinery.client.http import HttpClient
from tests.contract.apiserver_running import running
from tests.scenario.test_rollout import until

CONTROLLERS = "system:kube-controller-manager"


async def test_a_token_in_a_secret_is_the_accounts_until_either_is_gone(tmp_path: Path) -> None:
    async with running(tmp_path) as server, asyncio.TaskGroup() as group:
        admin = server.client("admin", ("system:masters",))

        def client_for(account: str) -> Client:
            return server.client(CONTROLLERS, ("system:authenticated",))

        controller = token_secrets("CERTIFICATE", server.token_for_secret)
        work = group.create_task(run_each((controller,), client_for, server.cache, SystemClock()))
        await admin.create(NAMESPACES, {"metadata": {"name": "n"}})
        await admin.create(SERVICE_ACCOUNTS, {"metadata": {"name": "bot"}}, "n")
        named = {"name": "t", "annotations": {"kubernetes.io/service-account.name": "bot"}}
        secret = {"metadata": named, "type": "kubernetes.io/service-account-token"}
        await admin.create(SECRETS, secret, "n")
        await until(server, lambda: bool((server.cache.get(SECRETS, "n", "t") or {}).get("data")))
        data = (await admin.get(SECRETS, "t", "n"))["data"]
        told = {key: base64.b64decode(value).decode() for key, value in data.items()}
        assert (told["ca.crt"], told["namespace"]) == ("CERTIFICATE", "n")
        known = Credentials(f"https://127.0.0.1:{server.port}", server.pki.ca_pem, token=told["token"])
        async with HttpClient(known.server, known.tls(tmp_path), token=known.token) as bot:
            with pytest.raises(Forbidden, match="system:serviceaccount:n:bot"):
                await bot.list(PODS, "n")
            await admin.delete(SERVICE_ACCOUNTS, "bot", "n")
            with pytest.raises(Unauthorized):
                await bot.list(PODS, "n")
        await until(server, lambda: server.cache.get(SECRETS, "n", "t") is None)
        work.cancel()
